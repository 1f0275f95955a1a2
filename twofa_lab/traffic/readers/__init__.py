"""Readers of real login logs: `read_logs(path, format)` gives the logins and how the reading went.

`read_logs`, `LogRead` and `Reading` are found here; they load when first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twofa_lab.traffic.readers.read import read_logs
    from twofa_lab.traffic.readers.reading import LogRead, Reading

__all__ = ["LogRead", "Reading", "read_logs"]

_HOMES = {"LogRead": "reading", "Reading": "reading", "read_logs": "read"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
