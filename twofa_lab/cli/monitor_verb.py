"""The verb `monitor`: figures, limits and alarms of a run, or of an exported audit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from twofa_lab.cli.verbs import Json, OnePolicy, Workers, show

__all__ = ["monitor"]


def monitor(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="A run written by simulate, or an audit exported as Parquet."
        ),
    ],
    policy: OnePolicy = "risk-based",
    zone: Annotated[
        str, typer.Option(help="Of an audit: the clock people live by, such as Europe/London.")
    ] = "UTC",
    prometheus: Annotated[
        Path | None, typer.Option(help="Also write a file for node-exporter's textfile collector.")
    ] = None,
    dashboard: Annotated[
        Path | None, typer.Option(help="Also write a Grafana dashboard (JSON) over its names.")
    ] = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Challenge rate, success, delivery, lock-outs, cost by day and part, and what stood out.

    Limits need 29 days or more. An audit tells its own policy: --policy is for a run.
    """
    from twofa_lab.analysis.monitoring import monitor as watch
    from twofa_lab.analysis.monitoring import monitor_audit
    from twofa_lab.risk.policy import Policy
    from twofa_lab.traffic.storage import open_run

    if source.is_file():
        watched = monitor_audit(source, zone=zone)
    else:
        watched = watch(open_run(source), Policy.named(policy), workers=workers)
    written = []
    if prometheus is not None:
        watched.to_prometheus(prometheus)
        written.append(prometheus)
    if dashboard is not None:
        watched.to_dashboard(dashboard)
        written.append(dashboard)
    text = [str(watched.table()), *(str(watched.by(name)) for name in watched.tallies.by)]
    text += [str(watched.alarm_table())] if watched.alarms else []
    text += [watched.sentence(), *(f"written: {path}" for path in written)]
    show(as_json, watched.to_dict() | {"written": list(map(str, written))}, "\n\n".join(text))
