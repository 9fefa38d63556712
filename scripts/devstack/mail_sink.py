"""A mail server that delivers nothing: it writes each mail to a file, for the developer to read."""

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Final

from aiosmtpd.smtp import SMTP, Envelope, Session

from scripts.operations.private_files import make_private_folder, write_private

SENDER: Final = "Tasks <tasks@localhost>"
_KEPT: Final = 200
_HEADERS: Final = ("From", "To", "Subject", "Date")
# A name of a file that sorts by time and is easy to type.
_UNUSUAL: Final = re.compile(r"[^A-Za-z0-9.@_-]+")


class MailSink:
    """Accept mails on a free port of 127.0.0.1, and write them to files in `folder`.

    The newest 200 are kept. `say` gets one line for each mail, which names the file.
    """

    def __init__(self, folder: Path, *, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._say = say
        self._server: asyncio.Server | None = None

    async def start(self) -> dict[str, str]:
        """Start it, and return the settings with which web/ sends mails to it."""
        make_private_folder(self._folder)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        return {"SMTP_URL": f"smtp://127.0.0.1:{port}", "MAIL_FROM": SENDER}

    async def stop(self) -> None:
        """Stop it."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def handle_DATA(  # noqa: N802 - aiosmtpd calls it by this name
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        """Write a mail to a file, and return the reply of the server."""
        content = envelope.content
        mail = message_from_bytes(
            content if isinstance(content, bytes) else b"", EmailMessage, policy=default
        )
        recipients = ", ".join(envelope.rcpt_tos)
        now = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
        path = self._folder / f"{now}-{_UNUSUAL.sub('_', recipients)[:80]}.txt"
        write_private(path, _text(mail))
        for old in sorted(self._folder.glob("*.txt"))[:-_KEPT]:
            old.unlink(missing_ok=True)
        self._say(f"mail    | {mail['Subject']}, to {recipients}: {path}")
        return "250 OK"

    def _connection(self) -> SMTP:
        return SMTP(self, hostname="localhost", enable_SMTPUTF8=True)


def _text(mail: EmailMessage) -> str:
    headers = [f"{name}: {mail[name]}" for name in _HEADERS if name in mail]
    body = mail.get_body(("plain",))
    return "\n".join([*headers, "", "" if body is None else body.get_content()])
