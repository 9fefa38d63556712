"""Drills: overload and failures of the running system, with a ledger of all writes."""
