"""Lines of the functions that notify the service's processes of a changed task.

The notification is sent when the statement commits. It names the owner only by `tag`, which
`service/events/tags.py` computes. Without a tag, there is no notification.
"""

from typing import Final

CHANNEL: Final = "task_events"


def notify(version: str = "version") -> str:
    """Notify of the wanted task, whose new version is in the variable `version`."""
    return (
        "IF tag IS NOT NULL THEN\n"
        f"    PERFORM pg_notify('{CHANNEL}', concat_ws(' ', tag, wanted, {version}));\n"
        "END IF;\n"
    )
