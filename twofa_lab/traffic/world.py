"""A world: logins and people in account shards, in memory or on disk, and what is known of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from twofa_lab.errors import InputError
from twofa_lab.tables import ATTACKS, LOGINS, PEOPLE, Array, Table

if TYPE_CHECKING:
    import pandas as pd

    from twofa_lab.traffic.readers.reading import Reading
    from twofa_lab.traffic.scenario import Costs, Scenario

__all__ = ["MemorySource", "Shard", "ShardSource", "World", "WorldFacts", "to_frame"]

Vocabularies = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Shard:
    """Some accounts: their people, and their logins account-major.

    `logins[name]` and `people[name]` are columns of the `LOGINS` and `PEOPLE` tables; the logins of
    the shard's account k are rows `starts[k] : starts[k + 1]`.
    """

    index: int
    logins: dict[str, Array]
    people: dict[str, Array]
    starts: Array

    @property
    def rows(self) -> int:
        return int(self.starts[-1])


class ShardSource(Protocol):
    """Where shards come from. Must be picklable, so that any executor can be handed one."""

    def __len__(self) -> int: ...

    def load(self, index: int, columns: Iterable[str] | None) -> Shard:
        """Shard number `index`, with all logins columns or only those named."""
        ...


@dataclass(frozen=True)
class MemorySource:
    """Shards held in memory."""

    shards: tuple[Shard, ...]

    def __len__(self) -> int:
        return len(self.shards)

    def load(self, index: int, columns: Iterable[str] | None) -> Shard:  # noqa: ARG002 - all are here
        return self.shards[index]


@dataclass(frozen=True)
class WorldFacts:
    """What is known of a world besides its rows.

    `window` is the part that counts, [start, end) in ms: rows before it only make history.
    `logins` and `attacks` count rows inside it (sign-ups apart). `human_side` says where people and
    potential outcomes come from: "simulated", "lent" (a real log with simulated people), "none".
    """

    name: str
    seed: int
    users: int
    days: int
    window: tuple[int, int]
    logins: int
    attacks: int
    vocabularies: Vocabularies
    costs: Costs
    human_side: str
    fingerprint: str
    assumptions: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class World:
    """Traffic with its potential outcomes, ready for any policy.

    Make one with `twofa_lab.simulate` or `twofa_lab.read_logs`; open a saved one with
    `twofa_lab.load`. `reading` tells how a real log was read.
    """

    facts: WorldFacts
    source: ShardSource
    reading: Reading | None = None

    def __repr__(self) -> str:
        f = self.facts
        return (
            f"World({f.name}: {f.users:,} users, {f.days} days, {f.logins:,} logins, "
            f"{f.attacks:,} of them attacks, seed {f.seed})"
        )

    def shards(self, columns: Iterable[str] | None = None) -> Iterator[Shard]:
        """Every shard in order."""
        for index in range(len(self.source)):
            yield self.source.load(index, columns)

    @property
    def has_people(self) -> bool:
        """Whether rows carry potential outcomes, so that a policy's effect can be told."""
        return self.facts.human_side != "none"

    def with_people(self, scenario: str | Scenario = "us-consumer", seed: int = 7) -> World:
        """Lend a real log's accounts simulated people, so that policies can be compared on it.

        Every result then says that the human side is simulated.
        """
        from twofa_lab.traffic.logs import lend_people
        from twofa_lab.traffic.scenario import Scenario

        found = scenario if isinstance(scenario, Scenario) else Scenario.load(scenario)
        return lend_people(self, found, seed)

    def logins(self, limit: int | None = 1_000_000) -> pd.DataFrame:
        """The logins table as a pandas frame, at most `limit` rows (None: all there are)."""
        return self._frame(LOGINS, limit)

    def people(self, limit: int | None = 1_000_000) -> pd.DataFrame:
        """The people table as a pandas frame, at most `limit` rows (None: all there are)."""
        return self._frame(PEOPLE, limit)

    def _frame(self, table: Table, limit: int | None) -> pd.DataFrame:
        parts, rows = [], 0
        for shard in self.shards():
            columns = shard.logins if table is LOGINS else shard.people
            parts.append(columns)
            rows += len(columns["user_id"])
            if limit is not None and rows >= limit:
                break
        names = [name for name in table.names if name in parts[0]]
        joined = {name: np.concatenate([part[name] for part in parts])[:limit] for name in names}
        return to_frame(table, joined, self.facts.vocabularies)

    def find_login(self, login_id: int) -> tuple[Shard, int]:
        """The shard that holds a login, and its row there; `InputError` when there is none."""
        for shard in self.shards():
            ids = shard.logins["login_id"]
            row = int(np.searchsorted(ids, login_id))
            if row < len(ids) and ids[row] == login_id:
                return shard, row
        raise InputError(f"no login {login_id} in this world: ids run from 0")


def to_frame(table: Table, columns: dict[str, Array], vocabularies: Vocabularies) -> pd.DataFrame:
    """Columns as a pandas frame: text as categories, times as timestamps, attacks by name."""
    import pandas as pd

    out: dict[str, Any] = {}
    for name, values in columns.items():
        if table.column(name).text:
            words = pd.Index(list(vocabularies[name]))
            out[name] = pd.Categorical.from_codes(values.tolist(), words)
        elif name in ("time", "created"):
            out[name] = pd.to_datetime(values, unit="ms", utc=True)
        elif name == "attack":
            out[name] = pd.Categorical.from_codes(values.tolist(), pd.Index(list(ATTACKS)))
        else:
            out[name] = values
    return pd.DataFrame(out)
