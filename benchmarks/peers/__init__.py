"""The servers that the service is compared with. Each is written as its documentation shows."""
