import asyncio
import smtplib
import stat
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from scripts.devstack import mail_sink
from scripts.devstack.mail_sink import MailSink


def send(url: str, number: int = 0) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"] = "tasks@localhost", "ada/../x@example.com"
    mail["Subject"] = f"Verify your e-mail address {number}"
    # A long line, which the transfer encoding breaks.
    mail.set_content(f"Öffne:\n\nhttp://localhost:3000/?token={'a' * 200}\n")
    address = urlsplit(url)
    with smtplib.SMTP(str(address.hostname), int(address.port or 0), timeout=10) as client:
        client.send_message(mail)


async def test_mail_becomes_a_private_file_with_its_link_in_one_piece(tmp_path: Path) -> None:
    said: list[str] = []
    sink = MailSink(tmp_path / "mail", say=said.append)
    settings = await sink.start()
    try:
        await asyncio.to_thread(send, settings["SMTP_URL"])
    finally:
        await sink.stop()
    (file,) = (tmp_path / "mail").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    text = file.read_text()
    assert "Subject: Verify your e-mail address 0\n" in text
    assert f"\nÖffne:\n\nhttp://localhost:3000/?token={'a' * 200}\n" in text
    assert said == [f"mail    | Verify your e-mail address 0, to ada/../x@example.com: {file}"]


async def test_only_the_newest_mails_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail_sink, "_KEPT", 2)
    sink = MailSink(tmp_path, say=lambda _: None)
    settings = await sink.start()
    try:
        for number in range(4):
            await asyncio.to_thread(send, settings["SMTP_URL"], number)
    finally:
        await sink.stop()
    files = await asyncio.to_thread(lambda: sorted(tmp_path.iterdir()))
    subjects = [file.read_text().split("Subject: ")[1][:28] for file in files]
    assert subjects == ["Verify your e-mail address 2", "Verify your e-mail address 3"]
