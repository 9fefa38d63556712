"""The command `rotate-keys`."""
