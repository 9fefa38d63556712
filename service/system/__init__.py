"""Health, metrics, metadata and documentation of the service itself."""
