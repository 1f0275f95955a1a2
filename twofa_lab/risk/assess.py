"""One real login judged: an account read from the store, the very functions of the replay.

Nothing is decided here. The account's past is laid out as the replay's `History`, and for a learned
scorer as its `FeaturePast`; signals, score, trust and decision then come from the same compiled
functions that walk millions of logins.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from twofa_lab.compiled import loop
from twofa_lab.errors import InputError
from twofa_lab.risk.additive import log_odds_of, probability
from twofa_lab.risk.decision import decide
from twofa_lab.risk.features import new_feature_past, restore_features, start_feature_past
from twofa_lab.risk.history import (
    NEVER_SEEN,
    History,
    is_trusted,
    new_history,
    restore,
    start_account,
)
from twofa_lab.risk.learned import Learned
from twofa_lab.risk.learned_loop import LearnedState
from twofa_lab.risk.model_file import scorer_of
from twofa_lab.risk.policy import Policy
from twofa_lab.risk.signals import BITS, MS_PER_DAY, SignalRules, local_hour, read_signals
from twofa_lab.risk.vector import VECTOR, SignalColumns, read_vector
from twofa_lab.store.history import UNKNOWN, Origin
from twofa_lab.store.history import History as StoredHistory
from twofa_lab.tables import Array

__all__ = ["Assessment", "Assessor", "LoginFacts"]

_DEVICE = BITS["new_device"]
_NOWHERE = (math.nan, math.nan)


class LoginFacts(NamedTuple):
    """What is known of a login besides its password: when (ms since 1970 UTC, and the account's
    home clock in minutes to UTC), on which device, from where. Empty text is unknown.

    `token_held`: the device presented a valid token of trust. The rest is read by a learned scorer
    alone: network, browser, place and round-trip time, what its address has been up to
    (`risk.address_activity`), and whether that is on a block list.
    """

    time: int
    utc_offset_min: int
    device: str
    country: str
    region: str
    token_held: bool = False
    origin: Origin = UNKNOWN
    ip_accounts: int = 0
    ip_failures: int = 0
    ip_listed: bool = False


class Assessment(NamedTuple):
    """What the risk step found: signal bits, wrong passwords in the window, score in [0, 1],
    decision (index into `tables.DECISIONS`), whether the device is trusted, whether it is one the
    account knows, and the hour of the account's own day. `values`: the signals that a learned
    scorer weighed, in the order of `risk.vector.VECTOR`; of the rules none.
    """

    bits: int
    failures: int
    score: float
    decision: int
    trusted: bool
    own_device: bool
    hour: int
    values: tuple[float, ...] = ()


class _LearnedPast(NamedTuple):
    """An account's past as `restore_features` takes it."""

    known: tuple[int, int]
    placed_at: int
    place: tuple[float, float]
    rtts: int
    rtt_spread: tuple[float, float]


class Assessor:
    """Judges logins under one policy; keeps nothing between them, so threads may share it.

    A policy goes by the scorer in its model file, read once. `InputError` for one that goes by
    Freeman's: the store does not keep the counts it needs of an account's past.

    >>> past = StoredHistory(0, None, None, {}, frozenset(), frozenset(), (0,) * 24, ())
    >>> login = LoginFacts(1_767_614_400_000, 0, "a-cookie", "GB", "London")
    >>> found = Assessor(Policy.risk_based()).assess(past, login)
    >>> found.score, found.decision, found.own_device
    (0.5, 1, False)
    """

    def __init__(self, policy: Policy, rules: SignalRules | None = None) -> None:
        if policy.scorer == "freeman":
            raise InputError(
                f"policy {policy.name}: the real flow judges by the rules or a learned scorer, and "
                "this policy goes by freeman; replay it, or set another scorer"
            )
        self.policy = policy
        self.rules = rules or SignalRules()
        scorer = scorer_of(policy)
        self.learned = scorer if isinstance(scorer, Learned) else None
        self._scores = policy.points.table(self.rules)
        self._limits = (policy.challenge_score, policy.deny_score, policy.trust_below)
        self._trust_ms = round((policy.trust_device_days or 0.0) * MS_PER_DAY)

    @property
    def trust_ms(self) -> int:
        """How long a device stays trusted; 0: the policy trusts none."""
        return self._trust_ms

    def assess(self, past: StoredHistory, login: LoginFacts) -> Assessment:
        """Signals, score and decision of a login against what its account completed before."""
        devices = [
            (device.last_seen, device.trusted_at or NEVER_SEEN) for device in past.devices.values()
        ]
        hour = int(local_hour(login.time, login.utc_offset_min))
        history = new_history(len(devices) + 1, len(past.countries) + 1, len(past.regions) + 1)
        state = None if self.learned is None else _state(self.learned, past, login)
        bits, failures, score, decision, trusted = _judge(
            history,
            self.rules,
            np.array(devices, np.int64).reshape(-1, 2),
            (len(past.countries), len(past.regions)),
            np.array(past.hours, np.int64),
            (
                past.completed_logins,
                NEVER_SEEN if past.first_login is None else past.first_login,
                NEVER_SEEN if past.last_login is None else past.last_login,
            ),
            np.array(past.failed_at, np.int64),
            (
                login.time,
                hour,
                _number(past.devices, login.device) + 1,
                _number(past.countries, login.country),
                _number(past.regions, login.region),
            ),
            self._scores,
            self._limits,
            self._trust_ms if login.token_held else 0,
            state,
            None if state is None else _learned_past(past),
        )
        return Assessment(
            bits,
            failures,
            score,
            decision,
            trusted,
            own_device=bits & _DEVICE == 0,
            hour=hour,
            values=() if state is None else tuple(state.values[0].tolist()),
        )


def _number(known: object, value: str) -> int:
    """The place of a value among those known, one past them when it is new, -1 when unknown."""
    if not value:
        return -1
    for index, other in enumerate(known):  # type: ignore[var-annotated, arg-type]
        if other == value:
            return index
    return index + 1 if known else 0


def _state(learned: Learned, past: StoredHistory, login: LoginFacts) -> LearnedState:
    """The scorer's state for one row, this login, with codes as `_number` gives them."""
    origin = login.origin
    place = _NOWHERE if origin.place is None else origin.place
    row = SignalColumns(
        np.array([_number(past.networks, origin.network)], np.int32),
        np.array([_number(past.browsers, origin.browser)], np.int16),
        np.array(place[:1], np.float32),
        np.array(place[1:], np.float32),
        np.array([origin.rtt_ms], np.uint16),
        np.array([login.ip_accounts], np.int32),
        np.array([login.ip_failures], np.int32),
        np.array([login.ip_listed], np.bool_),
    )
    features = new_feature_past(len(past.networks) + 1, len(past.browsers) + 1)
    values = np.zeros((1, len(VECTOR)), np.float32)
    return LearnedState(row, features, learned.additive, values, 0, decides=True)


def _learned_past(past: StoredHistory) -> _LearnedPast:
    place, round_trips = past.place, past.round_trips
    return _LearnedPast(
        (len(past.networks), len(past.browsers)),
        0 if place is None else place.at,
        _NOWHERE if place is None else (place.latitude, place.longitude),
        round_trips.measured,
        (round_trips.mean, round_trips.squares),
    )


@loop
def _judge(
    history: History,
    rules: SignalRules,
    devices: Array,
    places: tuple[int, int],
    hours: Array,
    logins: tuple[int, int, int],
    failed: Array,
    login: tuple[int, int, int, int, int],
    scores: Array,
    limits: tuple[float, float, float],
    trust_ms: int,
    learned: LearnedState | None,
    learned_past: _LearnedPast | None,
) -> tuple[int, int, float, int, bool]:
    start_account(history, len(devices) + 1)
    restore(history, devices, places, hours, logins, failed)
    time, hour, device, country, region = login
    bits, failures, slot, known = read_signals(history, rules, time, hour, device, country, region)
    score = scores[bits, min(failures, rules.burst_count - 1)]
    if learned is not None and learned_past is not None:
        known_codes, placed_at, place, rtts, rtt_spread = learned_past
        start_feature_past(learned.past)
        restore_features(learned.past, known_codes, logins, placed_at, place, rtts, rtt_spread)
        values = learned.values[0]
        read_vector(learned.columns, 0, learned.past, time, bits, failures, values)
        score = probability(log_odds_of(learned.additive, values))
    trusted = is_trusted(history, slot, known, time, trust_ms)
    challenge_at, deny_at, trust_below = limits
    decision = decide(score, challenge_at, deny_at, trusted, trust_below)
    return bits, failures, score, decision, trusted
