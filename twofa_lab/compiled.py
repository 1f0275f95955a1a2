"""How the package's loops are compiled: one decorator for functions, one for their small parts.

`loop` compiles a function that allocates nothing: it releases the interpreter lock, is kept on
disk between processes, and does not count references to the arrays it is given, which would cost
more than the work (a field taken from a tuple of arrays is otherwise counted up and down, two calls
each; measured on the replay: 54 against 23 ns a login). `part` also copies itself into its callers.
"""

from __future__ import annotations

from typing import Any

import numba as nb

__all__ = ["loop", "part"]

_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "_nrt": False}
loop = nb.njit(**_OPTIONS)
part = nb.njit(**_OPTIONS, inline="always")
