"""The documentation site: its pages, its configuration for Sphinx, and the check of its links."""
