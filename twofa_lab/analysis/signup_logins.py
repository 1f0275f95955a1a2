"""What follows a sign-up, played in the closed loop: later logins, challenges, takeovers.

`traffic.signup` counts what follows a sign-up by closed forms. Here every account lives on in the
traffic of its scenario and every login is replayed under a policy, so that a wait, a lock-out or a
known device changes what comes after it. The visitor gives the factor, the day it was enrolled and
the day the person was gone. Habits, devices and attacks are the scenario's, so they do not lean on
the visitor's intent; a visitor has the same under every arm, so two arms differ by the arms alone.

An account begins with its first session, which enters its history. Until a factor is enrolled there
is nothing to ask for: a challenge is not shown. Support tickets stay those of the closed form,
which go by the factor.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from twofa_lab.errors import InputError
from twofa_lab.replay.run import replay_shard
from twofa_lab.risk.policy import Policy
from twofa_lab.tables import DECISIONS, FACTORS, OUTCOME_NAMES, Array
from twofa_lab.traffic.people import MS_PER_DAY
from twofa_lab.traffic.shards import run_shards
from twofa_lab.traffic.signup.settings import FACTOR_OR_NONE
from twofa_lab.traffic.signup.table import SIGNUPS, SignupTable
from twofa_lab.traffic.signup.world import SignupWorld
from twofa_lab.traffic.simulate import Plan, facts_of, make_shard
from twofa_lab.traffic.world import Shard

__all__ = ["later_logins"]

_FACTOR = {"none": "otp", "sms": "otp", "totp": "totp", "passkey": "passkey"}  # none: never shown
_MASKS = np.array([1 << FACTORS.index(_FACTOR[name]) for name in FACTOR_OR_NONE], np.uint8)
_SMS, _CHALLENGE = FACTOR_OR_NONE.index("sms"), DECISIONS.index("challenge")
_LET_IN = tuple(OUTCOME_NAMES.index(name) for name in ("allowed", "verified"))
_PASSES = {"po_phone_at_hand": 1, "po_passkey_works": 1, "po_patience_ds": 65_534,
           "po_defeats": 255}  # fmt: skip
"""Potential outcomes by which a challenge is passed at once, all others being 0."""

_Columns = dict[str, Array]


def later_logins(
    world: SignupWorld,
    run: SignupTable,
    policy: Policy | None = None,
    *,
    workers: int | None = None,
) -> SignupTable:
    """The table of a sign-up experiment with what follows replayed (default: risk-based).

    `run` comes from `world.experiment` or `world.outcomes`, with all its visitors. Replaced are
    `logins`, `completed`, `challenges`, `taken_over`, `messages`, `message_usd` and `net_usd`.

    >>> from twofa_lab.traffic.signup import Arm, signup_world
    >>> world = signup_world(visitors=300, seed=7)
    >>> later = later_logins(world, world.outcomes(Arm.phone_only()))
    >>> int(later["challenges"].sum()), bool(later["logins"].sum() > 500)
    (0, True)
    """
    if run.visitors != world.visitors:
        raise InputError(
            f"the table has {run.visitors:,} visitors and its world {world.visitors:,}: "
            "pass a whole experiment of this world"
        )
    chosen = policy or Policy.risk_based()
    if chosen.scorer == "learned":
        raise InputError("later_logins replays rules and Freeman's scorer, not learned ones")
    plan = Plan(world.scenario, run.visitors, world.settings.followed_days, world.seed)
    tasks = [(_of_shard, (plan, index, run.codes, chosen)) for index in range(plan.shards)]
    parts = run_shards(tasks, "later logins", workers=workers, progress=False)
    counts = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    codes = run.codes | _columns(run.codes, counts, world)
    SIGNUPS.check(codes)
    return replace(run, codes=codes)


def _columns(before: _Columns, counts: _Columns, world: SignupWorld) -> _Columns:
    """The replaced columns: messages at sign-up stay, those at challenges are the replay's."""
    costs = world.scenario.costs
    sends = before["messages"] - np.where(before["factor"] == _SMS, before["challenges"], 0)
    at_signup = before["message_usd"] * sends / np.maximum(before["messages"], 1)
    message_usd = at_signup + counts["microusd"] / 1e6
    net = (
        counts["completed"] * costs.lost_login - message_usd - before["incentive_usd"]
        - before["tickets"] * costs.support_ticket - counts["taken_over"] * costs.takeover
    )  # fmt: skip
    return {
        "logins": counts["logins"].astype(np.int32),
        "completed": counts["completed"].astype(np.int32),
        "challenges": counts["challenges"].astype(np.int32),
        "taken_over": counts["taken_over"] > 0,
        "messages": (sends + counts["messages"]).astype(np.int32),
        "message_usd": message_usd.astype(np.float32),
        "net_usd": net.astype(np.float32),
    }


def _of_shard(plan: Plan, index: int, visitors: _Columns, policy: Policy) -> _Columns:
    """Counts of a shard's accounts, an entry each."""
    shard = make_shard(plan, index)
    mine = {
        name: visitors[name][shard.people["user_id"]]
        for name in ("signed_up", "false_account", "enrolled_day", "factor", "stayed_days")
    }
    shard, account, without = _lived(shard, mine, plan.days)
    written = replay_shard(shard, facts_of(plan, []), policy)
    rows = shard.logins
    counted = ~rows["signup"]
    person = counted & (rows["attack"] == 0) & rows["password_ok"]
    let_in = np.isin(written["outcome"], _LET_IN)
    asked = counted & (written["decision"] == _CHALLENGE) & ~without
    found = {
        "logins": person,
        "completed": person & let_in,
        "challenges": person & asked,
        "taken_over": counted & (rows["attack"] != 0) & let_in,
        "messages": np.where(asked, written["messages"], 0),
        "microusd": np.where(asked, written["message_microusd"], 0),
    }
    n = len(shard.people["user_id"])
    return {name: np.bincount(account, values, n) for name, values in found.items()}


def _lived(shard: Shard, mine: _Columns, days: int) -> tuple[Shard, Array, Array]:
    """The rows that happen to these visitors, the account of each, and where no factor is yet.

    A person's rows run from the first session to the day they are gone, an attacker's to the end.
    """
    rows, n = shard.logins, len(shard.people["user_id"])
    account = np.repeat(np.arange(n), np.diff(shard.starts))
    own, time = rows["attack"] == 0, rows["time"]
    first = np.full(n, np.iinfo(np.int64).max)
    np.minimum.at(first, account[own], time[own])
    since = (time - first[account]) / MS_PER_DAY
    last = np.where(own, mine["stayed_days"][account], days)
    is_first = own & (time == first[account])
    has = (mine["signed_up"] & ~mine["false_account"])[account]
    keep = has & (since >= 0) & (since <= days) & (is_first | (since <= last))
    without = ~(since >= mine["enrolled_day"][account])  # NaN: never
    columns = {name: values[keep] for name, values in rows.items()}
    columns["signup"] = is_first[keep]
    bare = without[keep]
    for name, values in columns.items():
        if name.startswith("po_"):
            columns[name] = np.where(bare, _PASSES.get(name, 0), values).astype(values.dtype)
    starts = np.append(0, np.cumsum(np.bincount(account[keep], minlength=n)))
    people = shard.people | {"factors": _MASKS[mine["factor"]]}
    return Shard(shard.index, columns, people, starts), account[keep], bare
