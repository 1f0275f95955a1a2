"""Freeman et al.'s score once more, in plain dicts and sets, written from the published formula."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

ADDRESS = {"ip": 0.6, "asn": 0.3, "country": 0.1}
CLIENT = {
    "user_agent": 0.5386653840551359,
    "browser": 0.2680451498625666,
    "os": 0.18818295100109536,
    "device_type": 0.0051065150812021525,
}
LEVELS = (*ADDRESS, *CLIENT)
Row = Mapping[str, Any]


def complete(row: Row) -> bool:
    """A successful login with a value on every level."""
    return bool(row["password_ok"]) and all(row[name] is not None for name in LEVELS)


@dataclass
class Oracle:
    """Counts so far."""

    values: dict[str, Counter[Any]] = field(default_factory=lambda: defaultdict(Counter))
    together: dict[Any, set[Any]] = field(default_factory=lambda: defaultdict(set))
    own: dict[Any, Counter[Any]] = field(default_factory=lambda: defaultdict(Counter))
    logins: int = 0
    by_account: Counter[Any] = field(default_factory=Counter)
    accounts: int = 0

    def record_globally(self, row: Row) -> None:
        self.logins += 1
        for weights in (ADDRESS, CLIENT):
            first, *below = weights
            self.values[first][row[first]] += 1
            for name in below:
                self.values[name][row[name]] += 1
                self.together[name, row[first]].add(row[name])

    def record_own(self, row: Row) -> None:
        self.by_account[row["user"]] += 1
        for name in LEVELS:
            self.own[row["user"]][name, row[name]] += 1

    def record(self, row: Row) -> None:
        self.accounts += self.by_account[row["user"]] == 0
        self.record_globally(row)
        self.record_own(row)

    def score(self, row: Row) -> float | None:
        n = self.by_account[row["user"]]
        if not n:
            return None
        score = (1 / self.accounts) / (n / self.logins)
        for weights in (ADDRESS, CLIENT):
            (first, *below), seen = weights, self.own[row["user"]]
            local = sum(w * seen[name, row[name]] / n for name, w in weights.items())
            if local == 0:
                score *= 4
                continue
            m = 1 + sum(len(self.values[name]) for name in below)
            m_first = 1 + sum(len(self.together[name, row[first]]) for name in below)
            c = self.values[first][row[first]]
            smooth = c / (self.logins + m) * c / (c + m_first) if c else 1 / (self.logins + m)
            shares = sum(weights[n] * self.values[n][row[n]] / self.logins for n in below)
            score *= (weights[first] * smooth + shares) / local
        return score


def scores_as_it_came(rows: Iterable[Row]) -> dict[int, float | None]:
    """Scores by `index` of the rows that count, in the order of time, then index."""
    oracle, scores = Oracle(), {}
    for row in sorted(filter(complete, rows), key=lambda row: (row["time"], row["index"])):
        scores[row["index"]] = oracle.score(row)
        oracle.record(row)
    return scores
