"""The verb `tune`: from a budget of challenges to a policy file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twofa_lab.cli.verbs import Json, Workers, show
from twofa_lab.errors import InputError, LabError

if TYPE_CHECKING:
    from twofa_lab.risk.policy import Policy
    from twofa_lab.traffic.world import World

__all__ = ["tune"]

_SCORERS = ("rules", "freeman", "learned")


def tune(
    run: Annotated[Path, typer.Argument(metavar="DIR", help="A run written by simulate.")],
    out: Annotated[Path, typer.Option(help="The policy file to write.")],
    scorer: Annotated[
        str | None, typer.Option(help="rules (the default), freeman or learned.")
    ] = None,
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
        typer.Option(
            "--price", help="A price of yours, as takeover=150; repeatable; as --cheapest."
        ),
    ] = None,
    confidence: Annotated[float, typer.Option(help="Of keeping the budget.")] = 0.95,
    model: Annotated[
        Path | None,
        typer.Option(
            help="A fitted scorer's file; without it freeman and learned are fitted here, "
            "on half of the accounts (on all, where half hold too few attacks)."
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

    _check(scorer, model, policy, out)
    world = open_run(run)
    cost = _prices(price) if cheapest or price else None
    if max_challenge_rate is None and cost is None:
        raise InputError("say what to tune for: --max-challenge-rate, --cheapest or both")
    base, world, made = _policy(world, scorer or "rules", model, policy, out)
    try:
        found = find(
            world, base, max_challenge_rate, cost, confidence=confidence, workers=workers
        )  # fmt: skip
        path = found.save(out, day=(day or datetime.now(tz=UTC)).date())
    except LabError:
        if made is not None:
            made.unlink(missing_ok=True)
        raise
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


def _check(scorer: str | None, model: Path | None, policy: str | None, out: Path) -> None:
    """Refuse a call that contradicts itself or could not write, before any work."""
    if scorer is not None and scorer not in _SCORERS:
        raise InputError(f"--scorer {scorer}: use {', '.join(_SCORERS)}")
    if policy is not None and (scorer is not None or model is not None):
        raise InputError("--policy has a scorer of its own: leave out --scorer and --model")
    if model is not None and scorer in (None, "rules"):
        raise InputError("--model is for a fitted scorer: name it, as --scorer learned")
    if not out.parent.is_dir():
        raise InputError(f"--out {out}: there is no directory {out.parent}")
    if out.is_dir() or out.suffix == ".skops":
        raise InputError(f"--out {out}: name a policy file, such as tuned.yaml")


def _policy(
    world: World, scorer: str, model: Path | None, policy: str | None, out: Path
) -> tuple[Policy, World, Path | None]:
    """What to tune, on what, and the model file that was made for it, if any. A scorer that needs a
    model and has none is fitted and saved beside `out`.
    """
    from twofa_lab.risk.policy import Policy

    if policy is not None:
        return Policy.named(policy), world, None
    if scorer == "rules":
        return Policy.risk_based(), world, None
    path = model or out.with_suffix(".skops")
    if model is None:
        world = _fitted(world, scorer, path)
    base = Policy.model_validate({"name": scorer, "scorer": scorer, "model": str(path)})
    return base, world, path if model is None else None


def _fitted(world: World, scorer: str, path: Path) -> World:
    """Fit a scorer to half of the accounts; returns the other half, to tune it on. Where half hold
    too few attacks to learn from, all are both: the results say that this flatters them.
    """
    from twofa_lab.replay.beside import with_beside
    from twofa_lab.replay.fit import fit_scorer
    from twofa_lab.risk.model_file import save_scorer
    from twofa_lab.traffic.halves import halves

    wide = with_beside(world) if scorer == "learned" else world
    fitted_on, rest = halves(wide)
    try:
        found = fit_scorer(fitted_on, scorer)  # type: ignore[arg-type]
    except InputError:
        found, rest = fit_scorer(wide, scorer), wide  # type: ignore[arg-type]
    save_scorer(found, path)
    return rest
