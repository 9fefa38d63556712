"""What people run: the development stack, the test suite, the operators' commands."""
