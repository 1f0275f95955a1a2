"""A throw-away PostgreSQL cluster on the loopback interface, for tests and benchmarks."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from twofa_lab.errors import WorkError

__all__ = ["find_postgresql", "postgresql_cluster"]

_START_SECONDS = 30
_SUPERUSER = "lab"


def find_postgresql() -> Path | None:
    """The folder of PostgreSQL's server programs (the newest of Debian's, else on the path)."""
    debian = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3])
    )
    found = str(debian[-1]) if debian else shutil.which("initdb")
    return None if found is None else Path(found).resolve().parent


@contextmanager
def postgresql_cluster(*, durable: bool = True) -> Iterator[str | None]:
    """Start a new cluster; its superuser's URL, or None where no PostgreSQL is installed.

    It listens on 127.0.0.1 only, asks for a random password, and is gone with its files when the
    block ends. PostgreSQL refuses to run as root, so root runs it as the user `postgres`. Tests
    that kill no server save time with `durable=False` (no fsync).
    """
    programs = find_postgresql()
    if programs is None:
        yield None
        return
    owner = _owner()
    folder = Path(tempfile.mkdtemp(prefix="twofa-lab-postgresql-"))
    try:
        if owner:
            os.chown(folder, owner["user"], owner["group"])
        yield from _run(programs, folder, owner, durable)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _owner() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    try:
        entry = pwd.getpwnam("postgres")
    except KeyError:
        raise WorkError("root cannot run PostgreSQL, and there is no user postgres") from None
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _run(programs: Path, folder: Path, owner: dict[str, Any], durable: bool) -> Iterator[str]:
    password = secrets.token_hex(16)
    (folder / "password").write_text(password)
    if owner:
        os.chown(folder / "password", owner["user"], owner["group"])
    data = folder / "data"
    initdb = [
        *(str(programs / "initdb"), "--pgdata", str(data), "--username", _SUPERUSER),
        *("--pwfile", str(folder / "password"), "--auth", "scram-sha-256"),
        *("--encoding", "UTF8", "--locale", "C", "--no-sync"),
    ]
    made = subprocess.run(  # noqa: S603 - our own argument list, no shell
        initdb, capture_output=True, text=True, check=False, cwd=folder, **owner
    )
    if made.returncode:
        raise WorkError(f"initdb failed: {made.stderr.strip().splitlines()[-1:]}")
    port = _free_port()
    fsync = "on" if durable else "off"
    command = [
        *(str(programs / "postgres"), "-D", str(data), "-p", str(port)),
        *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
        *("-c", f"fsync={fsync}"),
    ]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(  # noqa: S603 - our own argument list, no shell
            command, stdout=log, stderr=log, cwd=folder, **owner
        )
    try:
        url = f"postgresql://{_SUPERUSER}:{password}@127.0.0.1:{port}/postgres"
        _wait(url, server)
        yield url
    finally:
        server.send_signal(signal.SIGQUIT)  # at once, without a checkpoint: its files go anyway
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(10)
        server.kill()
        server.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    deadline = time.monotonic() + _START_SECONDS
    try:
        while True:
            try:
                with engine.connect():
                    return
            except OperationalError:
                if server.poll() is not None or time.monotonic() > deadline:
                    raise WorkError("the throw-away PostgreSQL did not start") from None
                time.sleep(0.05)
    finally:
        engine.dispose()
