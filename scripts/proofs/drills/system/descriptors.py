"""How many files and connections this process and those that it starts may have open."""

import resource


def allow_many_descriptors() -> None:
    """Raise the limit as far as this process may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
