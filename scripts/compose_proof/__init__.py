"""The proof behind `scripts.check_compose`: docker-compose.yml run, used and looked into."""
