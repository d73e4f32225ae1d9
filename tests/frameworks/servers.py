"""Private servers for the clients among the libraries: PostgreSQL and Redis, each in a temporary
directory, on a Unix socket and a port of its own, ended with the block; and certificates for TLS.

Each raises Missing where the machine has no such program.  PostgreSQL refuses to run as root, so a
run by root starts it as the user whom Debian's package made, or as nobody.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Missing(Exception):
    """The machine lacks what a server needs."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def somebody() -> dict[str, Any]:
    """What makes subprocess start a program as an ordinary user, and who that is."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            found = pwd.getpwnam(name)
            return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": ()}
    raise Missing("no user to run PostgreSQL as")


@contextlib.contextmanager
def directory(user: dict[str, Any]) -> Iterator[Path]:
    # in /tmp itself: a Unix socket's path may have 107 bytes, pytest's directories take most
    path = Path(tempfile.mkdtemp(prefix="bucle-", dir="/tmp"))
    try:
        if user:
            os.chown(path, user["user"], user["group"])
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def copy_for(user: dict[str, Any], source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    target.chmod(0o600)
    if user:
        os.chown(target, user["user"], user["group"])


@contextlib.contextmanager
def serving(process: subprocess.Popen[bytes], ready: Callable[[], bool]) -> Iterator[None]:
    """A server's process from when it answers to the end of the block."""
    try:
        deadline = time.monotonic() + 30
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                output = process.communicate(timeout=5)[0] if process.stdout else b""
                raise Missing(f"the server did not start: {output.decode()[-500:]}")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def postgres(certificates: Path | None) -> Iterator[dict[str, str]]:
    """PostgreSQL; yields the environment by which a client finds it."""
    places = [str(p) for p in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    path = os.pathsep.join([*places, os.environ.get("PATH", "")])
    initdb = shutil.which("initdb", path=path)
    if initdb is None:
        raise Missing("PostgreSQL is not installed")
    user = somebody()
    with directory(user) as root:
        data, port = root / "data", free_port()
        common: dict[str, Any] = {"cwd": root, **user}
        made = subprocess.run(
            [initdb, "-D", data, "-U", "bucle", "-A", "trust", "--no-sync", *("--locale", "C")],
            capture_output=True,
            check=False,
            **common,
        )
        if made.returncode != 0:
            raise Missing(f"initdb failed: {made.stderr.decode()[-500:]}")
        options = ["-c", "fsync=off", "-c", f"port={port}", "-c", "listen_addresses=127.0.0.1"]
        options += ["-c", f"unix_socket_directories={root}", "-c", "max_connections=40"]
        if certificates is not None:
            copy_for(user, certificates / "server.pem", root / "server.pem")
            options += ["-c", "ssl=on", "-c", f"ssl_cert_file={root / 'server.pem'}"]
            options += ["-c", f"ssl_key_file={root / 'server.pem'}"]
        log = root / "log"
        with log.open("wb") as into:
            # pg_ctl would make a daemon of it; in the foreground SIGTERM waits for clients,
            # SIGINT ends their sessions
            server = subprocess.Popen(
                [Path(initdb).with_name("postgres"), "-D", data, *options],
                stdout=into,
                stderr=into,
                **common,
            )
        answers = [Path(initdb).with_name("pg_isready"), "-q", "-h", root, "-p", str(port)]
        with serving(server, lambda: subprocess.run(answers, check=False).returncode == 0):
            yield {
                "BUCLE_POSTGRES_SOCKETS": str(root),
                "BUCLE_POSTGRES_PORT": str(port),
                "BUCLE_POSTGRES_TLS": "1" if certificates is not None else "",
            }
            server.send_signal(signal.SIGINT)


@contextlib.contextmanager
def redis(certificates: Path | None) -> Iterator[dict[str, str]]:
    """Redis; yields the environment by which a client finds it."""
    program = shutil.which("redis-server")
    if program is None:
        raise Missing("Redis is not installed")
    with directory({}) as root:
        port, tls_port = free_port(), free_port()
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(root)]
        options += ["--unixsocket", str(root / "redis"), "--appendonly", "no"]
        if certificates is not None:
            options += ["--tls-port", str(tls_port), "--tls-auth-clients", "no"]
            options += ["--tls-cert-file", str(certificates / "server.pem")]
            options += ["--tls-key-file", str(certificates / "server.pem")]
            options += ["--tls-ca-cert-file", str(certificates / "ca.pem")]
        server = subprocess.Popen(
            [program, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

        def answers() -> bool:
            with socket.socket(socket.AF_UNIX) as client:
                try:
                    client.connect(str(root / "redis"))
                    client.sendall(b"PING\r\n")
                    return client.recv(100) == b"+PONG\r\n"
                except OSError:
                    return False

        with serving(server, answers):
            assert server.stdout is not None
            yield {
                "BUCLE_REDIS_SOCKET": str(root / "redis"),
                "BUCLE_REDIS_PORT": str(port),
                "BUCLE_REDIS_TLS_PORT": str(tls_port) if certificates is not None else "",
            }
        server.stdout.close()


def make_certificates(into: Path) -> Path:
    """An authority, a server's certificate for localhost and a client's, as PEM files."""
    import trustme

    authority = trustme.CA(organization_name="bucle tests")
    authority.cert_pem.write_to_path(str(into / "ca.pem"))
    server = authority.issue_cert("localhost", "127.0.0.1", common_name="localhost")
    server.private_key_and_cert_chain_pem.write_to_path(str(into / "server.pem"))
    client = authority.issue_cert("client@example.org", common_name="client")
    client.private_key_and_cert_chain_pem.write_to_path(str(into / "client.pem"))
    return into
