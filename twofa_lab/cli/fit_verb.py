"""The verb `fit`: fit a scorer to a run and save it with its model card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from twofa_lab.cli.verbs import Json, show

__all__ = ["fit"]


def fit(
    run: Annotated[Path, typer.Argument(metavar="DIR", help="A run written by simulate.")],
    out: Annotated[Path, typer.Option(help="The file to write; .skops is its usual ending.")],
    scorer: Annotated[str, typer.Option(help="rules, freeman, learned or anomaly.")] = "learned",
    policy: Annotated[
        str, typer.Option(help="The policy that ran while the run was logged.")
    ] = "risk-based",
    seed: Annotated[int, typer.Option(min=0, help="Of the trees.")] = 0,
    as_json: Json = False,
) -> None:
    """Fit a scorer to a run's truth, and say how it does on logins that it did not see."""
    from twofa_lab.replay.fit import fit_scorer
    from twofa_lab.risk.model_file import save_scorer
    from twofa_lab.risk.policy import Policy
    from twofa_lab.traffic.storage import open_run

    ran = Policy.named(policy)
    found = fit_scorer(open_run(run), scorer, policy=ran, seed=seed)  # type: ignore[arg-type]
    path = save_scorer(found, out)
    card = found.card.to_dict() if found.card else {}
    show(as_json, {"path": str(path), "card": card}, f"{found.card}\n\nwritten: {path}")
