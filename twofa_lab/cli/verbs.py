"""The verbs. Each imports what it needs when it runs, so that `--help` is quick.

`--json` prints one JSON object on standard output and nothing else; progress and everything else
goes to standard error.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from twofa_lab.risk.policy import Policy
    from twofa_lab.traffic.scenario import Scenario

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="When should a login be asked for a second factor, and what does that cost?",
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, nothing else.")]
Users = Annotated[int, typer.Option(help="Accounts.")]
Days = Annotated[int, typer.Option(help="Days that count (a warm-up comes before).")]
Seed = Annotated[int, typer.Option(help="Same seed, same bits.")]
Policies = Annotated[
    list[str] | None,
    typer.Option("--policy", help="password-only, universal, risk-based or a file; repeatable."),
]
OnePolicy = Annotated[
    str, typer.Option("--policy", help="password-only, universal, risk-based or a policy file.")
]
Mmdb = Annotated[
    list[Path] | None,
    typer.Option(help="Your own MMDB file of address blocks (country, network); repeatable."),
]
Workers = Annotated[int | None, typer.Option(help="Threads; default one a core.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a scenario setting: people.slip_rate=0.1; repeatable."),
]


def show(as_json: bool, content: dict[str, Any], text: str) -> None:
    """Print a result: JSON, or text for people."""
    line = json.dumps(content, allow_nan=False) if as_json else text
    print(line)  # noqa: T201 - a command line


def scenario_with(name: str, settings: list[str] | None) -> Scenario:
    """A scenario by name or file, with `--set` changes."""
    import yaml

    from twofa_lab.errors import InputError
    from twofa_lab.traffic.scenario import Scenario

    scenario = Scenario.load(name)
    for setting in settings or []:
        key, equals, value = setting.partition("=")
        if not (key and equals):
            raise InputError(
                f"--set {setting}: write it as key=value, such as people.slip_rate=0.1"
            )
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError:
            raise InputError(f"--set {setting}: the value is not valid YAML") from None
        scenario = scenario.changed(**{key.replace(".", "__"): parsed})
    return scenario


def policies_of(names: list[str] | None) -> list[Policy]:
    """Policies by name or file; the three built-in ones when none is named."""
    from twofa_lab.risk.policy import BUILT_IN, Policy

    return [Policy.named(name) for name in names or BUILT_IN]


@app.command()
def simulate(
    scenario: Annotated[str, typer.Argument(help="A shipped scenario or a YAML file.")],
    out: Annotated[Path, typer.Option(help="Directory to write the run to.")],
    users: Users = 10_000,
    days: Days = 90,
    seed: Seed = 7,
    workers: Workers = None,
    overwrite: Annotated[bool, typer.Option(help="Replace the run that is there.")] = False,
    mmdb: Mmdb = None,
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Generate people, logins and attacks with their potential outcomes, as Parquet."""
    from twofa_lab.traffic.simulate import simulate as run

    began = time.perf_counter()
    world = run(
        scenario_with(scenario, settings), users, days, seed,
        out=out, overwrite=overwrite, mmdb=mmdb or (), workers=workers,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    facts = world.facts
    content = {
        "path": str(out), "scenario": facts.name, "users": facts.users, "days": facts.days,
        "seed": facts.seed, "logins": facts.logins, "attacks": facts.attacks,
        "seconds": round(seconds, 3), "fingerprint": facts.fingerprint,
    }  # fmt: skip
    show(as_json, content, f"{world!r}\nwritten to {out} in {seconds:.1f} s")


@app.command()
def compare(
    run: Annotated[Path, typer.Argument(metavar="DIR", help="A run written by simulate.")],
    policy: Policies = None,
    html: Annotated[Path | None, typer.Option(help="Also write a self-contained page.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Also write the figures as CSV.")] = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Play a run under each policy: conversion, cost, takeovers, and paired differences."""
    from twofa_lab.analysis.comparison import compare as play
    from twofa_lab.traffic.storage import open_run

    study = play(open_run(run), policies_of(policy), workers=workers)
    written = [study.to_html(html) and html] if html else []
    written += [study.to_csv(csv)] if csv else []
    text = [str(study.table()), str(study.paired()), study.sentence()]
    show(as_json, study.to_dict(), "\n\n".join(text + [f"written: {path}" for path in written]))


@app.command()
def replay(
    logfile: Annotated[Path, typer.Argument(help="A login log.")],
    log_format: Annotated[str, typer.Option("--format", help="rba, openssh or generic.")],
    policy: OnePolicy = "risk-based",
    column: Annotated[
        list[str] | None, typer.Option(help="generic: field=column of the file; repeatable.")
    ] = None,
    year: Annotated[int | None, typer.Option(help="openssh: year of the first line.")] = None,
    people: Annotated[
        str | None, typer.Option(help="Lend people from this scenario: who passes a challenge.")
    ] = None,
    seed: Seed = 7,
    mmdb: Mmdb = None,
    as_json: Json = False,
) -> None:
    """Replay your own login log: how many logins would this policy challenge?

    Without --people everybody is taken to pass the challenge.
    """
    from twofa_lab.analysis.own_logs import replay_log
    from twofa_lab.risk.policy import Policy
    from twofa_lab.traffic.addresses import mmdb_addresses
    from twofa_lab.traffic.readers.log_world import read_logs

    addresses = mmdb_addresses(*mmdb) if mmdb else None
    world = read_logs(
        logfile, log_format, columns=mapping_of(column), year=year, addresses=addresses
    )
    if people:
        world = world.with_people(people, seed)
    found = replay_log(world, Policy.named(policy))
    show(as_json, found.to_dict(), str(found))


def mapping_of(pairs: list[str] | None) -> dict[str, str] | None:
    """`--column` pairs as the reader takes them; `InputError` for one without `=`."""
    from twofa_lab.errors import InputError

    for pair in pairs or []:
        if "=" not in pair:
            raise InputError(f"--column {pair}: write it as field=column, such as user_id=account")
    return dict(pair.split("=", 1) for pair in pairs) if pairs else None


@app.command()
def explain(
    run: Annotated[Path, typer.Argument(metavar="DIR", help="A run written by simulate.")],
    login_id: Annotated[int, typer.Argument(help="A login of that run.")],
    policy: OnePolicy = "risk-based",
    as_json: Json = False,
) -> None:
    """Why this policy decided as it did about one login."""
    from twofa_lab.replay.explain import explain as say
    from twofa_lab.risk.policy import Policy
    from twofa_lab.traffic.storage import open_run

    found = say(open_run(run), login_id, Policy.named(policy))
    show(as_json, found.to_dict(), str(found))


@app.command()
def realism(
    run: Annotated[Path, typer.Argument(metavar="DIR", help="A run written by simulate.")],
    as_json: Json = False,
) -> None:
    """Generated marginals beside published ones, with a distance for each."""
    from twofa_lab.analysis.realism import realism as measure
    from twofa_lab.traffic.storage import open_run

    found = measure(open_run(run))
    show(as_json, found.to_dict(), str(found))


@app.command()
def scenarios(as_json: Json = False) -> None:
    """The scenarios that ship with the package."""
    from twofa_lab.traffic.scenario import Scenario, scenario_names

    titles = {name: Scenario.load(name).title for name in scenario_names()}
    show(as_json, titles, "\n".join(f"{name:24} {title}" for name, title in titles.items()))


@app.command()
def demo(
    scenario: Annotated[str, typer.Option(help="A shipped scenario or a file.")] = "us-consumer",
    users: Users = 50_000,
    days: Days = 90,
    seed: Seed = 7,
    run: Annotated[
        Path | None, typer.Option(help="Keep the traffic on disk here: any size fits in memory.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The page.")] = Path("reports/step-up-decision.html"),
    workers: Workers = None,
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Universal or risk-based? Generate traffic, compare three policies, write a page."""
    from twofa_lab.analysis.comparison import compare as play
    from twofa_lab.traffic.simulate import simulate as generate

    note = (
        "Generating traffic, then comparing three policies (the first time also compiles: ~30 s)."
    )
    print(note, file=sys.stderr)  # noqa: T201 - a command line
    began = time.perf_counter()
    world = generate(
        scenario_with(scenario, settings), users, days, seed, out=run, overwrite=True,
        workers=workers,
    )  # fmt: skip
    generated = time.perf_counter() - began
    study = play(world, workers=workers)
    compared = time.perf_counter() - began - generated
    out.parent.mkdir(parents=True, exist_ok=True)
    study.to_html(out)
    seconds = {"generate": round(generated, 2), "compare": round(compared, 2)}
    text = [
        str(study.table()), str(study.paired()), str(study.claims_table()), study.sentence(),
        f"Generated in {generated:.1f} s, compared in {compared:.1f} s.",
        f"The page with figures: {out}",
    ]  # fmt: skip
    content = study.to_dict() | {"path": str(out), "seconds": seconds}
    show(as_json, content, "\n\n".join(text))
