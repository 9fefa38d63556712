"""Lines of the log as JSON objects (LOG_FORMAT=json), with the ids of the span they belong to."""

import json
import logging
from datetime import UTC, datetime

from service.system.trace_ids import trace_ids


class JsonFormatter(logging.Formatter):
    """Formats each record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as a line. A traceback is one text in it."""
        fields: dict[str, str] = {}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json_line(record.levelname, record.name, record.getMessage(), **fields)


def json_line(level: str, logger: str, message: str, **fields: object) -> str:
    """Return one line. Everything outside of ASCII is escaped, and so are line breaks."""
    line = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "level": level,
        "logger": logger,
        "message": message,
        **fields,
        **trace_ids(),
    }
    return json.dumps(line)
