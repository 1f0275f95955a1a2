"""The verb `parity`: play a run's logins through the real flow, and compare with the replay."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from twofa_lab.cli.verbs import Json, OnePolicy, Seed, show
from twofa_lab.errors import WorkError

__all__ = ["parity"]


def parity(
    run: Annotated[Path, typer.Argument(metavar="DIR", help="A run written by simulate.")],
    policy: OnePolicy = "risk-based",
    logins: Annotated[int, typer.Option(min=1, help="Logins to play, whole accounts first.")] = (
        20_000
    ),
    seed: Seed = 7,
    database: Annotated[
        Path | None,
        typer.Option(help="Keep what the flow stored, its audit too, in this new SQLite file."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Simulated people log in for real, one by one; status 1 where flow and replay differ."""
    from twofa_lab.replay.parity import parity as play
    from twofa_lab.risk.policy import Policy
    from twofa_lab.traffic.storage import open_run

    found = play(open_run(run), Policy.named(policy), logins, seed=seed, database=database)
    show(as_json, found.to_dict(), str(found))
    if found.mismatches:
        raise WorkError(
            f"flow and replay differ in {found.mismatches:,} of {found.compared:,} logins; "
            f"the first is {found.first_mismatch.login_id if found.first_mismatch else '-'}"
        )
