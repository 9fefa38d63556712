"""The programs this project is measured against, and the measurements."""
