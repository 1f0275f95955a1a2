"""Replay a world under a policy: shards in, outcomes out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from twofa_lab.errors import InputError
from twofa_lab.factors.push import PushRules
from twofa_lab.replay.beside import with_beside
from twofa_lab.replay.loop import NO_DECISION, Accounts, Rows, Settings, Written, replay_rows
from twofa_lab.risk.freeman import LEVELS, new_account_counts
from twofa_lab.risk.freeman_loop import FreemanState
from twofa_lab.risk.freeman_model import Freeman
from twofa_lab.risk.history import History, new_history
from twofa_lab.risk.learned import Learned
from twofa_lab.risk.learned_loop import deciding, noting
from twofa_lab.risk.model_file import scorer_of
from twofa_lab.risk.policy import Policy
from twofa_lab.risk.signals import MS_PER_DAY, SignalRules
from twofa_lab.risk.vector import BESIDE, READ, SignalColumns, signal_columns
from twofa_lab.tables import (
    CHANNELS,
    FACTORS,
    LOGINS,
    OUTCOMES,
    POTENTIAL_OUTCOMES,
    Array,
)
from twofa_lab.traffic.scenario import Costs
from twofa_lab.traffic.world import Shard, World, WorldFacts, to_frame

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "NEEDED",
    "Prepared",
    "frozen",
    "needed",
    "outcomes",
    "prepare",
    "ready_for",
    "replay_and_note",
    "replay_prepared",
    "replay_shard",
    "settings_of",
]

_PO = tuple(column.name for column in POTENTIAL_OUTCOMES)
NEEDED = (*Rows._fields[:-1], *_PO)
"""Columns of the logins table that a replay reads, if the policy goes by the rules."""

_READ = {"rules": (), "freeman": (*LEVELS, "ip_listed"), "learned": (*READ, *BESIDE)}


def needed(policies: Iterable[Policy]) -> tuple[str, ...]:
    """Columns of the logins table that a replay under these policies reads.

    >>> set(needed([Policy.risk_based()])) == set(NEEDED)
    True
    """
    return tuple(dict.fromkeys([*NEEDED, *(n for p in policies for n in _READ[p.scorer])]))


def ready_for(world: World, policies: Iterable[Policy]) -> World:
    """The world with the columns that these policies' scorers read beside the logins."""
    return with_beside(world) if any(p.scorer == "learned" for p in policies) else world


_EASY = {"po_passkey_works": 1, "po_trusts_device": 1, "po_defeats": 255}
"""Without people everyone holds a passkey that works: passes at once, and no message is sent."""


def settings_of(
    policy: Policy, rules: SignalRules, costs: Costs, countries: tuple[str, ...]
) -> Settings:
    """A policy as the numbers the compiled loop takes; prices per country of the account."""
    prices = np.zeros((len(countries) + 1, len(CHANNELS)), np.int64)
    for code, channel in enumerate(CHANNELS[1:], start=1):
        prices[:, code] = round(costs.message[channel] * 1e6)  # type: ignore[index]
        for row, country in enumerate(countries):
            local = costs.message_by_country.get(country, {}).get(channel)  # type: ignore[call-overload]
            if local is not None:
                prices[row, code] = round(local * 1e6)
    limits, push = policy.limits, PushRules()
    return Settings(
        scores=policy.points.table(rules),
        prices=prices,
        channels=np.array([CHANNELS.index(name) for name in policy.fallback.channels]),
        challenge_at=policy.challenge_score,
        deny_at=policy.deny_score,
        trust_ms=round((policy.trust_device_days or 0.0) * MS_PER_DAY),
        trust_below=policy.trust_below,
        unscored=1.0 if policy.unscored == "challenge" else 0.0,
        timeout_ds=round(policy.fallback.timeout_seconds * 10),
        max_attempts=policy.max_attempts,
        allow_weaker=policy.allow_weaker_factor,
        throttle_after=limits.throttle_after,
        first_wait_ms=round(limits.first_wait_seconds * 1000),
        longest_wait_ms=round(limits.longest_wait_seconds * 1000),
        lock_after=limits.lock_after,
        push_since_success=push.max_since_success,
        push_in_window=push.max_in_window,
        push_window_ms=push.window_seconds * 1000,
    )


def replay_shard(
    shard: Shard, facts: WorldFacts, policy: Policy, rules: SignalRules | None = None
) -> dict[str, Array]:
    """The `OUTCOMES` columns (`login_id` apart) of a shard's rows under a policy.

    Rows without potential outcomes are taken to pass every challenge at once, at no cost: then
    signals, scores and decisions are told, and nothing else may be read off.
    """
    return replay_prepared(prepare(shard, facts), facts, policy, rules or SignalRules())


class Prepared(NamedTuple):
    """A shard as the compiled loop reads it, good for any number of policies, one at a time.

    `beside` keeps what scorers read beyond `rows`, laid out when first asked for.
    """

    rows: Rows
    accounts: Accounts
    history: History
    shard: Shard
    beside: dict[Any, Any]


def prepare(shard: Shard, facts: WorldFacts) -> Prepared:
    """Check a shard's columns and lay them out for the loop."""
    n = shard.rows
    people = shard.people
    factors = people["factors"]
    columns = {name: shard.logins[name] for name in NEEDED if name in shard.logins}
    for column in POTENTIAL_OUTCOMES:
        if column.name not in columns:
            columns[column.name] = np.full(n, _EASY.get(column.name, 0), column.dtype)
            factors = np.full_like(factors, 1 << FACTORS.index("passkey"))
    LOGINS.check(columns, NEEDED)
    potential = np.empty((len(_PO), n), np.uint16)
    for index, name in enumerate(_PO):
        potential[index] = columns.pop(name)
    vocabularies = facts.vocabularies
    could = np.append(0, np.cumsum(columns["password_ok"] | columns["signup"]))
    most = np.diff(could[shard.starts])
    who = (shard.starts, most, people["country"], people["line_type"], people["whatsapp"], factors)
    return Prepared(
        Rows(**{name: frozen(column) for name, column in columns.items()}, po=frozen(potential)),
        Accounts._make(map(frozen, who)),
        new_history(
            int(most.max(initial=1)), len(vocabularies["country"]), len(vocabularies["region"])
        ),
        shard,
        {},
    )


def frozen(values: Array) -> Array:
    """A read-only view. Columns from disk are read-only, and numba compiles a loop anew for every
    mix of writable and read-only arrays: with all of them frozen it is compiled once.
    """
    view = np.ascontiguousarray(values).view()
    view.flags.writeable = False
    return view


def replay_prepared(
    prepared: Prepared,
    facts: WorldFacts,
    policy: Policy,
    rules: SignalRules,
    scorer: Freeman | Learned | None = None,
) -> dict[str, Array]:
    """`replay_shard` for a shard that is laid out already. A policy goes by the scorer in its model
    file, unless one is given.
    """
    return _replay(prepared, facts, policy, rules, scorer or scorer_of(policy), note=False)[0]


def replay_and_note(
    prepared: Prepared,
    facts: WorldFacts,
    policy: Policy,
    rules: SignalRules,
    scorer: Freeman | Learned | None = None,
) -> tuple[dict[str, Array], Array]:
    """`replay_prepared`, and the vector of every login that was judged (`risk.vector.VECTOR`):
    float32, shape (rows, signals), zeros elsewhere. It is what a logger would have seen.
    """
    return _replay(prepared, facts, policy, rules, scorer or scorer_of(policy), note=True)


def _replay(
    prepared: Prepared,
    facts: WorldFacts,
    policy: Policy,
    rules: SignalRules,
    scorer: Freeman | Learned | None,
    *,
    note: bool,
) -> tuple[dict[str, Array], Array]:
    n = len(prepared.rows.time)
    written = Written._make(np.zeros(n, OUTCOMES.column(name).dtype) for name in Written._fields)
    written.decision[:] = NO_DECISION
    settings = settings_of(policy, rules, facts.costs, facts.vocabularies["country"])
    pushes = np.zeros(1 + settings.push_since_success, np.int64)
    freeman = learned = None
    if not isinstance(scorer, Freeman | Learned | None):
        raise InputError(
            "no policy goes by this scorer: replay one of rules, freeman or learned, and let the "
            "others score a table"
        )
    additive = scorer.additive if isinstance(scorer, Learned) else None
    if isinstance(scorer, Freeman):
        freeman = _freeman_state(prepared, facts, scorer)
    if note:
        learned = noting(_signal_columns(prepared, facts), additive)
    elif additive is not None:
        learned = deciding(_signal_columns(prepared, facts), additive)
    replay_rows(
        prepared.rows, prepared.accounts, settings, rules, prepared.history, pushes, written,
        freeman, learned,
    )  # fmt: skip
    return written._asdict(), learned.values if learned is not None else np.empty((0, 0))


def _signal_columns(prepared: Prepared, facts: WorldFacts) -> SignalColumns:
    if "signals" not in prepared.beside:
        found = signal_columns(prepared.shard.logins, facts.vocabularies)
        prepared.beside["signals"] = found
    return prepared.beside["signals"]


def _freeman_state(prepared: Prepared, facts: WorldFacts, scorer: Freeman) -> FreemanState:
    if scorer not in prepared.beside:
        codes, shares = scorer.columns(prepared.shard.logins, facts.vocabularies)
        sizes = codes.max(axis=1, initial=-1).astype(np.int64) + 1
        account = new_account_counts(int(prepared.accounts.most_completed.max(initial=1)), sizes)
        state = FreemanState(frozen(codes), frozen(shares), account, int(sizes.sum()))
        prepared.beside[scorer] = state
    return prepared.beside[scorer]


def outcomes(world: World, policy: Policy, *, limit: int | None = 1_000_000) -> pd.DataFrame:
    """What happened to each login under a policy, as a frame of the `OUTCOMES` table.

    Stops after `limit` rows (None: never). Codes come as names.

    >>> import twofa_lab as lab
    >>> world = lab.simulate("us-consumer", users=100, days=7, seed=1)
    >>> found = outcomes(world, Policy.universal())
    >>> set(found["decision"].dropna()) == {"challenge"}
    True
    """
    parts, rows = [], 0
    for shard in ready_for(world, [policy]).shards():
        columns = replay_shard(shard, world.facts, policy)
        parts.append({"login_id": shard.logins["login_id"], **columns})
        rows += shard.rows
        if limit is not None and rows >= limit:
            break
    if not parts:
        raise InputError("the world holds no accounts")
    joined = {name: np.concatenate([part[name] for part in parts])[:limit] for name in parts[0]}
    return named_outcomes(to_frame(OUTCOMES, joined, {}))


def named_outcomes(frame: pd.DataFrame) -> pd.DataFrame:
    """The same frame with codes replaced by their names."""
    import pandas as pd

    from twofa_lab.tables import DECISIONS, OUTCOME_NAMES

    for name, words in (
        ("decision", DECISIONS),
        ("factor", FACTORS),
        ("channel", CHANNELS),
        ("outcome", OUTCOME_NAMES),
    ):
        codes = frame[name].to_numpy().astype(np.int16)
        codes[codes == NO_DECISION] = -1
        frame[name] = pd.Categorical.from_codes(codes.tolist(), pd.Index(list(words)))
    return frame
