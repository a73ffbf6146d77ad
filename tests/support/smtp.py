"""A real SMTP server on loopback: what it was sent, and what it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage

from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass
class Mailbox:
    """`port` of 127.0.0.1."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    refusal: str | None = None
    """What is said to every message in place of taking it, e.g. `451 later`."""

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        if self.refusal:
            return self.refusal
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 taken"

    def url(self) -> str:
        return f"mailto://127.0.0.1:{self.port}?from=agent@example.com&to=me@example.com"


@asynccontextmanager
async def smtp_server() -> AsyncIterator[Mailbox]:
    """Until the block ends."""
    mailbox, loop = Mailbox(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(mailbox, loop=loop, enable_SMTPUTF8=True), "127.0.0.1", 0)
    mailbox.port = server.sockets[0].getsockname()[1]
    try:
        yield mailbox
    finally:
        server.close()
        await server.wait_closed()
