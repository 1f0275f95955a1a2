"""The rules over a table of logins as it stands: open loop, no policy between login and history.

Every login with the right password counts as completed, nobody is throttled or asked: what a log
of real logins says. The closed loop, in which a policy decides who gets in, is `replay.loop`; both
call the same signal step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from twofa_lab.compiled import loop
from twofa_lab.risk.history import (
    History,
    new_history,
    record_completed,
    record_failed_password,
    start_account,
)
from twofa_lab.risk.rules import RulePoints
from twofa_lab.risk.scored import Scored
from twofa_lab.risk.signals import SignalRules, local_hour, read_signals
from twofa_lab.tables import SIGNALS, Array

__all__ = ["score_by_rules"]

_READ = (
    "time", "utc_offset_min", "device_id", "country", "region", "password_ok", "signup",
)  # fmt: skip
_CHUNK = 1 << 18  # rows between two reports of progress
_WRONG_PASSWORD = 1  # place in `UNSCORED`


def score_by_rules(
    table: Mapping[str, Array],
    vocabularies: Mapping[str, Sequence[str]],
    points: RulePoints | None = None,
    rules: SignalRules | None = None,
    *,
    advance: Callable[[float], object] | None = None,
) -> Scored:
    """Score each login with the right password of an account-major table against its account's
    rows before it. `advance` is told of rows as they are done.
    """
    points, rules = points or RulePoints(), rules or SignalRules()
    columns = [np.ascontiguousarray(table[name]) for name in _READ]
    right, rows = table["password_ok"] | table["signup"], len(table["user_id"])
    user = table["user_id"]
    starts = np.append(np.flatnonzero(np.append(True, user[1:] != user[:-1])[:rows]), rows)
    completed = np.diff(np.append(0, np.cumsum(right))[starts])
    places = (len(vocabularies["country"]), len(vocabularies["region"]))
    history = new_history(int(completed.max(initial=1)), *places)
    bits, failures = np.zeros(rows, np.uint8), np.zeros(rows, np.uint8)
    a = 0
    while a < len(completed):
        b = max(int(np.searchsorted(starts, starts[a] + _CHUNK, side="right")) - 1, a + 1)
        _walk(starts[a : b + 1], completed[a:b], *columns, rules, history, bits, failures)
        if advance:
            advance(float(starts[b] - starts[a]))
        a = b
    code = bits.astype(np.int32) * rules.burst_count
    code += np.minimum(failures, rules.burst_count - 1)
    score = np.where(right, points.table(rules).ravel()[code], np.nan)
    reasons = [
        "; ".join(f"{name} +{p:.2f}" for name, p in points.contributions(mask, count).items())
        for mask in range(1 << len(SIGNALS))
        for count in range(rules.burst_count)
    ]
    unscored = np.where(right, 0, _WRONG_PASSWORD).astype(np.uint8)
    return Scored(score, code, tuple(reasons), unscored)


@loop
def _walk(
    starts: Array,
    completed: Array,
    time: Array,
    offset: Array,
    device_id: Array,
    country: Array,
    region: Array,
    password_ok: Array,
    signup: Array,
    rules: SignalRules,
    history: History,
    bits: Array,
    failures: Array,
) -> None:
    for a in range(len(completed)):
        start_account(history, completed[a])
        for i in range(starts[a], starts[a + 1]):
            hour = local_hour(time[i], offset[i])
            device = np.int64(device_id[i])
            bits[i], failures[i], slot, known = read_signals(
                history, rules, time[i], hour, device, country[i], region[i]
            )
            if password_ok[i] or signup[i]:
                record_completed(
                    history, slot, known, time[i], hour, device, country[i], region[i], False
                )
            else:
                record_failed_password(history, time[i])
