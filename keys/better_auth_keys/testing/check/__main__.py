"""Run the command: `python -m better_auth_keys.testing.check`."""

from better_auth_keys.testing.check.command import run

if __name__ == "__main__":
    run()
