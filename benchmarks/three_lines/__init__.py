"""What the three lines of `better_auth_keys.fastapi` add to a request."""
