"""The verb `score`: a log in, a CSV of scores out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from twofa_lab.cli.verbs import Json, Mmdb, mapping_of, show

__all__ = ["score"]


def score(
    logfile: Annotated[Path, typer.Argument(help="A login log.")],
    log_format: Annotated[str, typer.Option("--format", help="rba, openssh or generic.")],
    out: Annotated[Path, typer.Option(help="The CSV of scores to write.")],
    scorer: Annotated[str, typer.Option(help="rules, freeman, learned or anomaly.")] = "rules",
    attack_term: Annotated[
        bool, typer.Option("--attack-term", help="freeman: weigh in the log's own block list.")
    ] = False,
    model: Annotated[
        Path | None,
        typer.Option(help="learned, anomaly: a fitted scorer's file, as fit writes it."),
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="generic: field=column of the file; repeatable.")
    ] = None,
    year: Annotated[int | None, typer.Option(help="openssh: year of the first line.")] = None,
    mmdb: Mmdb = None,
    as_json: Json = False,
) -> None:
    """Score your own login log as it came: each login against all that came before it."""
    from twofa_lab.replay.score_log import check_scorer, check_target, score_log
    from twofa_lab.traffic.addresses import mmdb_addresses
    from twofa_lab.traffic.readers import read_columns

    check_scorer(scorer, attack_term=attack_term, model=model)  # before a long log is read
    check_target(out, logfile)
    addresses = mmdb_addresses(*mmdb) if mmdb else None
    columns = mapping_of(column)
    log = read_columns(logfile, log_format, columns=columns, year=year, addresses=addresses)
    found = score_log(log, scorer, attack_term=attack_term, model=model, progress=True)
    path = found.to_csv(out, progress=True)
    show(as_json, found.to_dict() | {"path": str(path)}, f"{found}\n\nwritten: {path}")
