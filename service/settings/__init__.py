"""Every setting of the service: one reader, and each value is parsed once."""
