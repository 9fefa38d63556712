"""Who asks, what is refused, and what is written down about it."""
