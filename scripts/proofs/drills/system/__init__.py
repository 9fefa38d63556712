"""The system that is drilled, its clients, and what they see."""
