"""The settings of the service: one reader, and each value is parsed once."""
