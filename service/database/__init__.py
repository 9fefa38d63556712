"""PostgreSQL: URLs, roles, connections, and statements executed as an owner."""
