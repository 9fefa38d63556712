"""Set-up of a checkout. Standard library only, because it runs before anything is installed."""
