"""Readers of real login logs: `read_logs(path, format)` gives the logins and how the reading went.

`read_logs`, `LogRead` and `Reading` are found here; they load when first asked for.
"""

from typing import Any

__all__ = ["LogRead", "Reading", "read_logs"]


def __getattr__(name: str) -> Any:  # PEP 562
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from twofa_lab.traffic.readers.read import read_logs
    from twofa_lab.traffic.readers.reading import LogRead, Reading

    return {"read_logs": read_logs, "LogRead": LogRead, "Reading": Reading}[name]
