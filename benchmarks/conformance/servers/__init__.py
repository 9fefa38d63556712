"""One small server for each library, written as the library's own documentation does."""
