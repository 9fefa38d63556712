"""HTTP: the one pass around every request, JSON bodies, and errors as problem documents."""
