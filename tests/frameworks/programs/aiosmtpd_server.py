"""aiosmtpd, a protocol that drives the pieces itself: it feeds a StreamReader, and for STARTTLS
puts an SSLProtocol on the running transport by hand. Clients are smtplib in threads.
"""

from __future__ import annotations

import asyncio
import logging
import smtplib
import tempfile
from typing import TYPE_CHECKING, Any

from aiosmtpd.smtp import SMTP, AuthResult

from .common import blocking_exchange, client_tls, digest, server_tls, show_wire

if TYPE_CHECKING:
    import ssl

    from tests.frameworks.launch import World

taken: list[str] = []


class Handler:
    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        await asyncio.sleep(0)
        if not address.endswith("@example.org"):
            return "550 not relaying"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        tls = session.ssl is not None
        taken.append(f"{envelope.mail_from} {envelope.rcpt_tos} {digest(envelope.content)} {tls}")
        return "250 taken"


def authenticate(*arguments: Any) -> AuthResult:
    data = arguments[-1]
    right = (data.login, data.password) == (b"user", b"secret")
    return AuthResult(success=right, handled=False)


def message(size: int) -> str:
    line = "a line of a message, neither long nor short\r\n"
    return "Subject: test\r\n\r\n" + line * (size // len(line))


def mail(port: int, tls: ssl.SSLContext | None) -> list[str]:
    """One client's session; what it was told."""
    said: list[str] = []
    with smtplib.SMTP("127.0.0.1", port, local_hostname="client", timeout=60) as client:
        said.append(str(client.ehlo()))
        if tls is not None:
            client._host = "localhost"  # the name to be verified
            said.append(str(client.starttls(context=tls)))
            said.append(str(client.ehlo()))
            said.append(str(client.login("user", "secret")))
        for size in (0, 1000, 1_000_000):
            refused = client.sendmail(
                "from@example.org", ["to@example.org", "to@elsewhere.net"], message(size)
            )
            said.append(str(refused))
        said += [str(client.noop()), str(client.vrfy("x")), str(client.docmd("NONSENSE"))]
        said.append(str(client.docmd("NOOP", "x" * 600)))
        client.rset()
    return said


def wrong_password(port: int, tls: ssl.SSLContext) -> str:
    with smtplib.SMTP("127.0.0.1", port, local_hostname="client", timeout=60) as client:
        client._host = "localhost"
        client.starttls(context=tls)
        try:
            client.login("user", "wrong")
        except smtplib.SMTPAuthenticationError as error:
            return str(error)
    return "let in"


async def main(world: World) -> None:
    loop = world.look()
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)

    def protocol(timeout: float = 60) -> SMTP:
        return SMTP(
            Handler(),
            hostname="server",
            ident="test",
            tls_context=server_tls(),
            authenticator=authenticate,
            timeout=timeout,
            loop=loop,
        )

    server = await loop.create_server(protocol, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for tls in (None, client_tls()):
        print("-- STARTTLS" if tls else "-- plain")
        for line in await asyncio.to_thread(mail, port, tls):
            print(line)
    print(await asyncio.to_thread(wrong_password, port, client_tls()))
    at_once = [asyncio.to_thread(mail, port, client_tls()) for _ in range(6)]
    found = {tuple(said) for said in await asyncio.gather(*at_once)}
    print("six at once:", len(found))
    for line in dict.fromkeys(taken):
        print(line, taken.count(line))

    raw = b"EHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n"
    raw += b"hello\r\n..dots\r\n.\r\nQUIT\r\n"
    for pause in (0, 0.002):
        show_wire("raw", await asyncio.to_thread(blocking_exchange, port, raw, pause=pause))
    endless = b"x" * 100_000 + b"\r\nQUIT\r\n"
    show_wire("line too long", await asyncio.to_thread(blocking_exchange, port, endless))
    server.close()
    await server.wait_closed()
    hasty = await loop.create_server(lambda: protocol(0.5), "127.0.0.1", 0)
    port = hasty.sockets[0].getsockname()[1]
    print("silent:", await asyncio.to_thread(blocking_exchange, port, b""))
    hasty.close()
    await hasty.wait_closed()
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        unix = await loop.create_unix_server(protocol, f"{folder}/socket")
        reader, writer = await asyncio.open_unix_connection(f"{folder}/socket")
        writer.write(raw)
        print(await reader.read())
        writer.close()
        await writer.wait_closed()
        unix.close()
        await unix.wait_closed()
