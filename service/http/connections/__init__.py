"""Connections: the limits on them, and what begins, delays or refuses their requests."""
