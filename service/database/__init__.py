"""PostgreSQL: URLs, roles, connections, and statements run as an owner."""
