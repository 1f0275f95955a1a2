"""Errors a person can act on: one line that names the file, row or key, and the mend.

The command line turns `InputError` into exit status 2 and `WorkError` into 1;
neither ever shows a traceback.
"""

from __future__ import annotations

__all__ = ["InputError", "LabError", "WorkError"]


class LabError(Exception):
    """Base of every error this package raises on purpose; its text is one line."""

    exit_status = 1


class InputError(LabError):
    """The call or its input is wrong: an unknown key, a missing column, a file cut short."""

    exit_status = 2


class WorkError(LabError):
    """The input was right but the work failed or a check did not hold: a full disk, a mismatch."""

    exit_status = 1
