"""Authentication, rate limits, revocations and the security log."""
