"""The verbs `policy NAME` (or `policy show NAME`) and `policy diff OLD NEW --on DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from twofa_lab.cli.verbs import Json, Workers, show

__all__ = ["policy"]


class _ShowByDefault(TyperGroup):
    """`policy NAME` means `policy show NAME`; a file called like a verb is written as ./diff."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["show", *args]
        return super().parse_args(ctx, args)


policy = typer.Typer(
    name="policy",
    cls=_ShowByDefault,
    no_args_is_help=True,
    help="Print a policy (policy NAME), or tell what another would change (policy diff).",
)

_Policy = Annotated[str, typer.Argument(help="A built-in policy or a policy file.")]


@policy.command("show")
def show_policy(name: _Policy, as_json: Json = False) -> None:
    """Print a policy as the YAML that --policy takes: save it, change it, compare it."""
    from twofa_lab.risk.policy import Policy

    found = Policy.named(name)
    show(as_json, found.model_dump(mode="json"), found.to_yaml().rstrip())


@policy.command()
def diff(
    old: _Policy,
    new: _Policy,
    on: Annotated[Path, typer.Option(metavar="DIR", help="A run written by simulate.")],
    examples: Annotated[int, typer.Option(min=0, help="Logins to explain for each change.")] = 2,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Which logins of a run change decision, whose they are, and why."""
    from twofa_lab.analysis.policy_diff import policy_diff
    from twofa_lab.risk.policy import Policy
    from twofa_lab.traffic.storage import open_run

    policies = [Policy.named(name) for name in (old, new)]
    found = policy_diff(open_run(on), *policies, examples=examples, workers=workers)
    show(as_json, found.to_dict(), str(found))
