"""The operators' commands. Production images contain this package and no other of `scripts`."""
