"""The operators' commands: all that an image needs."""
