"""Programs that generate documents from the code."""
