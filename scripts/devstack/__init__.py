"""The development stack of ./scripts/dev."""
