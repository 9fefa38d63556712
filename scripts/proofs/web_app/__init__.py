"""web/ as its users see it: the production build and the service over HTTPS, in a real browser."""
