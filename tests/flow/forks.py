"""Processes for tests of races and crashes: a server that loads everything once and then forks.

A process made this way begins its work at once, so that fifty can be killed in a few seconds.
`python -m tests.flow.forks` is the server; `Forks` is the test's end of it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from sqlalchemy import Engine

__all__ = ["Forks", "address_of"]

ROOT = Path(__file__).parents[2]


def address_of(engine: Engine) -> str:
    """What `connect` takes to open the same database."""
    url = engine.url
    if url.get_backend_name() == "sqlite":
        return unquote(str(url.database).removeprefix("file://"))
    return url.render_as_string(hide_password=False)


class Forks:
    """Starts one process at a time, reads what it tells, and kills it."""

    def __init__(self, server: subprocess.Popen[str]) -> None:
        self._server = server
        self._pid = 0

    @classmethod
    @contextmanager
    def serving(cls) -> Iterator[Forks]:
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.flow.forks"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        with server:
            yield cls(server)
            server.kill()

    def _read(self) -> str:
        assert self._server.stdout is not None
        line = self._server.stdout.readline()
        assert line.endswith("\n"), "the server ended"
        return line.rstrip("\n")

    def start(self, what: str, **given: Any) -> None:
        """Have a process do one of `hands.DEEDS`."""
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps({"what": what, **given}) + "\n")
        self._server.stdin.flush()
        word, pid = self._read().split()
        assert word == "started"
        self._pid = int(pid)

    def lines(self) -> Iterator[str]:
        """What the process tells, up to its end."""
        while not (line := self._read()).startswith("ended "):
            yield line

    def kill(self) -> None:
        """`kill -9`; `lines` then gives what was told before."""
        os.kill(self._pid, signal.SIGKILL)


def main() -> None:
    """One line of JSON, one process."""
    from tests.flow.hands import DEEDS, tell, warm_up

    warm_up()
    for line in sys.stdin:
        given = json.loads(line)
        pid = os.fork()
        if pid == 0:
            try:
                DEEDS[given["what"]](given)
            except BaseException:
                traceback.print_exc()  # `os._exit` would keep it quiet
            finally:
                os._exit(0)
        tell("started", pid)
        os.waitpid(pid, 0)
        tell("ended", given["what"])


if __name__ == "__main__":
    main()
