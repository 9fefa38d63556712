"""The drills: each module has those of one subject, with the rows of docs/faults.md."""
