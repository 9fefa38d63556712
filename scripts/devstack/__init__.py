"""The development stack that ./scripts/dev runs."""
