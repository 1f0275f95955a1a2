"""Compare policies on one world: the same logins, so the difference is the policy's alone."""

from __future__ import annotations

import csv
import html
import math
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twofa_lab.analysis.claims import Claim, claims_of, claims_sheet
from twofa_lab.analysis.estimates import Estimate, PairedDifference, PolicyResult, paired, result_of
from twofa_lab.analysis.totals import Totals, total_of, totals_of_shard
from twofa_lab.errors import InputError
from twofa_lab.replay.run import needed, ready_for
from twofa_lab.risk.policy import Policy
from twofa_lab.sheet import Sheet, interval, markdown_text, money, number, percent
from twofa_lab.traffic.shards import run_shards
from twofa_lab.traffic.world import ShardSource, World, WorldFacts

if TYPE_CHECKING:
    import pandas as pd

    from twofa_lab.analysis.picture import Figure

__all__ = ["Comparison", "compare"]

REPLICATES = 400
_SALT = 20_260_105  # of the bootstrap weights: any number, always the same


@dataclass(frozen=True, repr=False)
class Comparison:
    """Several policies on one world; renders itself, plots itself, exports itself."""

    facts: WorldFacts
    results: tuple[PolicyResult, ...]
    differences: tuple[PairedDifference, ...]

    def __getitem__(self, name: str) -> PolicyResult:
        for result in self.results:
            if result.name == name:
                return result
        raise InputError(f"no policy {name!r} here: {', '.join(r.name for r in self.results)}")

    @property
    def note(self) -> str:
        """What every reader of the figures must know about where they come from."""
        f = self.facts
        sides = {
            "simulated": f"Simulated traffic (scenario {f.name}, seed {f.seed}): not measured.",
            "lent": "Logins are real; the people behind them, and all they do at a challenge, "
            "are simulated.",
        }
        text = sides[f.human_side]
        return " ".join([text, "Intervals: 95 %, bootstrap over accounts.", *f.assumptions])

    def table(self) -> Sheet:
        """The headline figures, one row a policy."""
        rows = tuple(
            (
                r.name,
                percent(r.challenge_rate.value),
                percent(r.conversion.value),
                interval(percent(r.conversion.low), percent(r.conversion.high)),
                number(r.friction[1], 1),
                money(r.cost.messages.value),
                money(r.cost.support.value),
                money(r.cost.losses),
                money(r.cost.total.value),
                f"{r.takeovers:,} of {r.attacks:,}",
                percent(r.takeover_rate.value, 1),
            )
            for r in self.results
        )
        columns = (
            "policy", "challenged", "conversion", "95 % interval", "median s", "messages",
            "support", "losses", "total", "takeovers", "takeover rate",
        )  # fmt: skip
        title = (
            f"{number(self.results[0].legitimate)} legitimate logins of "
            f"{number(self.facts.users)} accounts in {self.facts.days} days; US$ per 1,000"
        )
        return Sheet(title, columns, rows, self.note)

    def paired(self) -> Sheet:
        """Differences between policies on the same logins, with intervals."""
        rows = tuple(
            (
                f"{d.a} less {d.b}",
                percent(d.conversion.value),
                _ends(d.conversion, percent),
                number(d.takeovers.value),
                _ends(d.takeovers, number),
                money(d.cost.value),
                _ends(d.cost, money),
            )
            for d in self.differences
        )
        columns = (
            "difference", "conversion", "95 % interval", "takeovers", "95 % interval",
            "US$ per 1,000", "95 % interval",
        )  # fmt: skip
        return Sheet("Paired differences on the same logins", columns, rows, self.note)

    def attacks(self) -> Sheet:
        """Attacks with the right password, and how many got in, by kind and policy."""
        kinds = list(dict.fromkeys(kind for r in self.results for kind in r.by_kind))
        rows = []
        for kind in kinds:
            counts = [r.by_kind.get(kind, (0, 0, 0, 0)) for r in self.results]
            cells = [f"{c[3]:,} ({percent(c[3] / c[1], 0) if c[1] else 'n/a'})" for c in counts]
            rows.append(
                (kind.replace("_", " "), number(counts[0][0]), number(counts[0][1]), *cells)
            )
        columns = ("attack", "attempts", "right password", *(r.name for r in self.results))
        return Sheet("Takeovers by kind of attack", columns, tuple(rows), self.note)

    def claims(self) -> tuple[Claim, ...]:
        """The guide's claims tested on these results."""
        return claims_of(self.results)

    def claims_table(self) -> Sheet:
        """The same as a table."""
        return claims_sheet(self.claims(), self.note)

    def sentence(self) -> str:
        """The decision in one sentence made from the figures."""
        from twofa_lab.analysis.sentence import sentence_of

        return sentence_of(self)

    def plot(self) -> Figure:
        """The trade-off between lost logins and takeovers, one point a policy."""
        from twofa_lab.analysis.figures import plot_trade_off

        return plot_trade_off(self)

    def plot_funnel(self) -> Figure:
        """What became of 100 legitimate logins under each policy."""
        from twofa_lab.analysis.figures import plot_funnel

        return plot_funnel(self)

    def plot_cost(self) -> Figure:
        """Cost per 1,000 legitimate logins in its parts."""
        from twofa_lab.analysis.figures import plot_cost

        return plot_cost(self)

    def plot_attacks(self) -> Figure:
        """Share of each kind of attack that got in, by policy."""
        from twofa_lab.analysis.figures import plot_attacks

        return plot_attacks(self)

    def to_dict(self) -> dict[str, Any]:
        """For JSON; NaN becomes None."""
        return {
            "world": {
                "name": self.facts.name, "users": self.facts.users, "days": self.facts.days,
                "seed": self.facts.seed, "human_side": self.facts.human_side,
                "fingerprint": self.facts.fingerprint,
            },
            "policies": [_policy_dict(r) for r in self.results],
            "paired": [
                {
                    "a": d.a,
                    "b": d.b,
                    "conversion_difference": d.conversion.value,
                    "ci": _pair(d.conversion),
                    "takeovers_difference": d.takeovers.value,
                    "takeovers_ci": _pair(d.takeovers),
                    "cost_difference": d.cost.value,
                    "cost_ci": _pair(d.cost),
                }
                for d in self.differences
            ],
            "note": self.note,
        }  # fmt: skip

    def to_pandas(self) -> pd.DataFrame:
        """The headline figures as numbers, one row a policy."""
        import pandas as pd

        rows = []
        for policy in self.to_dict()["policies"]:
            low, high = policy.pop("conversion_ci")
            parts = policy.pop("cost_parts_per_1000_usd")
            policy.pop("by_attack")
            rows.append(
                policy
                | {"conversion_low": low, "conversion_high": high}
                | {f"cost_{name}": value for name, value in parts.items()}
            )
        return pd.DataFrame(rows).set_index("name")

    def to_markdown(self) -> str:
        """All tables as Markdown."""
        sheets = (self.table(), self.paired(), self.attacks(), self.claims_table())
        return "\n\n".join(
            [markdown_text(self.sentence()), *(sheet.to_markdown() for sheet in sheets)]
        )

    def to_csv(self, path: str | Path) -> Path:
        """Write the headline figures as CSV; returns the path."""
        target = Path(path)
        frame = self.to_pandas().reset_index()
        with target.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(frame.columns)
            writer.writerows(frame.itertuples(index=False))
        return target

    def to_html(self, path: str | Path | None = None) -> str:
        """A self-contained page with tables and figures; written to `path` when one is given."""
        from twofa_lab.analysis.page import comparison_page

        page = comparison_page(self)
        if path is not None:
            Path(path).write_text(page, encoding="utf-8")
        return page

    def __repr__(self) -> str:
        return f"{self.table()}\n{self.sentence()}"

    def _repr_html_(self) -> str:
        return f"<p><b>{html.escape(self.sentence())}</b></p>{self.table().to_html()}"


def compare(
    world: World,
    policies: Sequence[Policy] | None = None,
    *,
    replicates: int = REPLICATES,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: bool | None = None,
) -> Comparison:
    """Play a world under each policy and set the results side by side.

    Without `policies`: password-only, universal and risk-based. Shards run on `executor` (default:
    a thread a core). `InputError` when the world is a real log without people or has no legitimate
    login that counts, or when names repeat.

    >>> import twofa_lab as lab
    >>> study = lab.compare(lab.simulate("us-consumer", users=200, days=14, seed=1))
    >>> [result.name for result in study.results]
    ['password-only', 'universal', 'risk-based']
    """
    chosen = list(policies or (Policy.password_only(), Policy.universal(), Policy.risk_based()))
    names = [policy.name for policy in chosen]
    if len(set(names)) != len(names):
        raise InputError(f"two policies share a name: {', '.join(names)}; rename one")
    if not world.has_people:
        raise InputError(
            "this log has no potential outcomes: call with_people(scenario, seed) to lend it some"
        )
    world = ready_for(world, chosen)
    tasks = [
        (_play, (world.source, index, world.facts, chosen, replicates))
        for index in range(len(world.source))
    ]
    parts = run_shards(tasks, "comparing policies", executor, workers, progress)
    costs = world.facts.costs
    results = tuple(
        result_of(policy, total_of([part[i] for part in parts]), costs)
        for i, policy in enumerate(chosen)
    )
    if not results[0].legitimate:
        raise InputError(
            "no legitimate login with the right password counts in this world, so there is nothing "
            "to compare: take more users or days"
        )
    pairs = tuple(paired(a, b, costs) for b, a in combinations(results, 2))
    return Comparison(world.facts, results, pairs)


def _play(
    source: ShardSource, index: int, facts: WorldFacts, policies: list[Policy], replicates: int
) -> list[Totals]:
    return totals_of_shard(source.load(index, needed(policies)), facts, policies, replicates, _SALT)


def _ends(estimate: Estimate, text: Any) -> str:
    return interval(text(estimate.low), text(estimate.high))


def _pair(estimate: Estimate) -> list[float | None]:
    return [_known(estimate.low), _known(estimate.high)]


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _policy_dict(r: PolicyResult) -> dict[str, Any]:
    return {
        "name": r.name,
        "logins": r.logins,
        "legitimate": r.legitimate,
        "challenge_rate": _known(r.challenge_rate.value),
        "conversion": _known(r.conversion.value),
        "conversion_ci": _pair(r.conversion),
        "friction_seconds_median": _known(r.friction[1]),
        "cost_per_1000_usd": _known(r.cost.total.value),
        "cost_parts_per_1000_usd": {
            "messages": _known(r.cost.messages.value),
            "support": _known(r.cost.support.value),
            "lost_logins": _known(r.cost.lost_logins.value),
            "takeovers": _known(r.cost.takeovers.value),
        },
        "takeovers": r.takeovers,
        "attacks": r.attacks,
        "takeover_rate": _known(r.takeover_rate.value),
        "accounts_taken_over": r.accounts_taken_over,
        "by_attack": {
            kind: dict(
                zip(("attempts", "right_password", "challenged", "completed"), row, strict=True)
            )
            for kind, row in r.by_kind.items()
        },
    }
