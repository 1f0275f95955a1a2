"""The entry point: run a verb, turn every error into one line and an exit status.

Status 0: done; 1: the work failed or a check did not hold; 2: the call or its input is wrong.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer

from twofa_lab.cli.audit_verbs import audit
from twofa_lab.cli.fit_verb import fit
from twofa_lab.cli.monitor_verb import monitor
from twofa_lab.cli.parity_verb import parity
from twofa_lab.cli.policy_verbs import policy
from twofa_lab.cli.provider_verb import provider
from twofa_lab.cli.score_verb import score
from twofa_lab.cli.tune_verb import tune
from twofa_lab.cli.verbs import app
from twofa_lab.errors import LabError

__all__ = ["main"]

app.command()(provider)
app.command()(score)
app.command()(parity)
app.command()(monitor)
app.command()(fit)
app.command()(tune)
app.add_typer(audit)
app.add_typer(policy)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and exit with its status (`arguments`: default the process's own)."""
    status = run(arguments)
    if arguments is None:
        sys.exit(status)
    return status


def run(arguments: Sequence[str] | None) -> int:  # noqa: PLR0911 - one return an error
    """The status of a call; errors are printed on standard error in one line."""
    from typer.main import get_command

    try:
        result = get_command(app).main(
            args=None if arguments is None else list(arguments),
            prog_name="twofa-lab",
            standalone_mode=False,
        )
        sys.stdout.flush()
    except LabError as error:
        return _fail(str(error), error.exit_status)
    except typer.TyperException as error:
        return _fail(f"{error.format_message()} (twofa-lab --help lists the verbs)", 2)
    except (typer.Abort, KeyboardInterrupt):
        return _fail("stopped", 130)
    except SystemExit:  # typer's own answer where the reader of a pipe went away while writing
        return 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError:
        return _fail("out of memory: use --out, fewer users or fewer days", 1)
    except OSError as error:
        return _fail(f"{error.filename or 'the system'}: {error.strerror or error}", 1)
    return int(result or 0)


def _fail(message: str, status: int) -> int:
    print("twofa-lab: " + " ".join(message.split()), file=sys.stderr)  # noqa: T201 - a command line
    return status
