"""The verb `tune`: from a budget of challenges to a policy file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twofa_lab.cli.verbs import Json, Workers, show
from twofa_lab.errors import InputError

if TYPE_CHECKING:
    from twofa_lab.risk.policy import Policy
    from twofa_lab.traffic.world import World

__all__ = ["tune"]

_SCORERS = ("rules", "freeman", "learned")


def tune(
    run: Annotated[Path, typer.Argument(metavar="DIR", help="A run written by simulate.")],
    out: Annotated[Path, typer.Option(help="The policy file to write.")],
    scorer: Annotated[str, typer.Option(help="rules, freeman or learned.")] = "rules",
    max_challenge_rate: Annotated[
        float | None,
        typer.Option(help="Share of legitimate logins that may be challenged, such as 0.05."),
    ] = None,
    cheapest: Annotated[
        bool,
        typer.Option("--cheapest", help="Least cost (within the budget), not fewest takeovers."),
    ] = False,
    price: Annotated[
        list[str] | None,
        typer.Option("--price", help="A price of yours, as takeover=150; repeatable; --cheapest."),
    ] = None,
    confidence: Annotated[float, typer.Option(help="Of keeping the budget.")] = 0.95,
    model: Annotated[
        Path | None,
        typer.Option(
            help="A fitted scorer's file; without it freeman and learned are fitted here, "
            "on half of the accounts."
        ),
    ] = None,
    policy: Annotated[
        str | None, typer.Option(help="Start from this policy; then --scorer is the policy's.")
    ] = None,
    day: Annotated[
        datetime | None,
        typer.Option("--date", formats=["%Y-%m-%d"], help="The day to note in the file."),
    ] = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Find the threshold that keeps a challenge budget, and write the policy with where it is from.

    Status 1 where no threshold satisfies the budget; then nothing is written.
    """
    from twofa_lab.analysis.thresholds import tune as find
    from twofa_lab.traffic.storage import open_run

    if scorer not in _SCORERS:
        raise InputError(f"--scorer {scorer}: use {', '.join(_SCORERS)}")
    world = open_run(run)
    cost = _prices(price) if cheapest or price else None
    base, world = _policy(world, scorer, model, policy, out)
    found = find(
        world, base, max_challenge_rate, cost, confidence=confidence, workers=workers
    )  # fmt: skip
    path = found.save(out, day=(day or datetime.now(tz=UTC)).date())
    text = [str(found.table()), str(found.choices()), found.sentence(), f"written: {path}"]
    show(as_json, found.to_dict() | {"policy": str(path)}, "\n\n".join(text))


def _prices(pairs: list[str] | None) -> dict[str, float]:
    found = {}
    for pair in pairs or []:
        name, _, value = pair.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            raise InputError(f"--price {pair}: write it as name=number, as takeover=150") from None
    return found


def _policy(
    world: World, scorer: str, model: Path | None, policy: str | None, out: Path
) -> tuple[Policy, World]:
    """What to tune, and on what. A scorer that needs a model and has none is fitted on half of the
    accounts and saved beside `out`; the other half is then what it is tuned on.
    """
    from twofa_lab.replay.beside import with_beside
    from twofa_lab.replay.fit import fit_scorer
    from twofa_lab.risk.model_file import save_scorer
    from twofa_lab.risk.policy import Policy
    from twofa_lab.traffic.halves import halves

    if policy is not None:
        return Policy.named(policy), world
    if scorer == "rules":
        return Policy.risk_based(), world
    path = model or out.with_suffix(".skops")
    if model is None:
        fitted_on, world = halves(with_beside(world) if scorer == "learned" else world)
        save_scorer(fit_scorer(fitted_on, scorer), path)  # type: ignore[arg-type]
    return Policy.model_validate({"name": scorer, "scorer": scorer, "model": str(path)}), world
