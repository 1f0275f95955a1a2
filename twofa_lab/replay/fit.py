"""Fit a scorer to a world: what a logger would have seen under a policy, then the fit.

History is closed: the policy that ran decided who completed a login, and so what each account's
past looks like. Labels are whatever the caller takes for an attack; by default the truth, which
only a simulator knows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from twofa_lab.errors import InputError
from twofa_lab.replay.beside import with_beside
from twofa_lab.replay.loop import NO_DECISION
from twofa_lab.replay.run import needed, prepare, ready_for, replay_and_note, replay_shard
from twofa_lab.risk.anomaly import Anomaly
from twofa_lab.risk.freeman import LEVELS
from twofa_lab.risk.freeman_model import Freeman
from twofa_lab.risk.learned import Learned
from twofa_lab.risk.model_card import card_of
from twofa_lab.risk.policy import Policy
from twofa_lab.risk.rule_scorer import RuleScorer, fit_points
from twofa_lab.risk.signals import SignalRules
from twofa_lab.risk.training import LAST_SHARE, Training
from twofa_lab.risk.vector import VECTOR
from twofa_lab.tables import OUTCOME_NAMES, SIGNALS, Array
from twofa_lab.traffic.world import Shard, World

__all__ = ["TRUTH", "Observed", "fit_scorer", "observe", "observe_shard"]

TRUTH = "all attacks, as only a simulator knows them"

_KEPT = (
    "login_id", "user_id", "time", "attack", "campaign", "country", "device_type", "ip_listed",
)  # fmt: skip
_NOTED = ("signals", "failures", "score", "decision", "outcome")
_AGE = [signal.name for signal in VECTOR].index("age_days")
_NEW_DAYS = 30.0
_COUNTRIES = 5


@dataclass(frozen=True, eq=False)
class Observed:
    """The judged logins of a world's window, in the order of its rows.

    `values`: their vectors (`risk.vector.VECTOR`), float32. `columns`: from the logins table
    `login_id`, `user_id`, `time`, `attack`, `campaign`, `country`, `device_type`, `ip_listed`; from
    the outcomes table `signals`, `failures`, `score`, `decision`, `outcome`; and `shard` and `row`,
    where they lie in the world. `segments`: masks by name. `policy` ran.
    """

    values: Array
    columns: dict[str, Array]
    segments: dict[str, Array]
    policy: Policy

    def __len__(self) -> int:
        return len(self.values)

    def rows(self, chosen: Array) -> Observed:
        """Some of the rows: a mask or their places."""
        return Observed(
            self.values[chosen],
            {name: column[chosen] for name, column in self.columns.items()},
            {name: mask[chosen] for name, mask in self.segments.items()},
            self.policy,
        )

    def training(
        self,
        attack: Array | None = None,
        weights: Array | None = None,
        rows: Array | None = None,
    ) -> Training:
        """To learn from: labels (default: the truth), weights, and only some rows (a mask)."""
        labels = self.columns["attack"] > 0 if attack is None else attack
        found = Training(self.values, labels, self.columns["time"], weights, self.segments)
        return found if rows is None else found.rows(rows)


def observe(world: World, policy: Policy | None = None) -> Observed:
    """Every login that was judged inside the world's window under a policy (default: risk-based),
    and what was seen of it.

    >>> import twofa_lab as lab
    >>> seen = observe(lab.simulate("us-consumer", users=100, days=7, seed=1))
    >>> seen.values.shape == (len(seen), len(VECTOR))
    True
    """
    ran = policy or Policy.risk_based()
    wide = with_beside(world)
    parts = [observe_shard(wide, shard, ran) for shard in wide.shards()]
    if not parts:
        raise InputError("the world holds no accounts")
    columns = {name: np.concatenate([p.columns[name] for p in parts]) for name in parts[0].columns}
    words = world.facts.vocabularies
    segments = _segments(columns, np.concatenate([p.values[:, _AGE] for p in parts]), words)
    return Observed(np.concatenate([p.values for p in parts]), columns, segments, ran)


def observe_shard(world: World, shard: Shard, policy: Policy) -> Observed:
    """`observe` for one shard of a world with the columns beside; without segments."""
    written, values = replay_and_note(
        prepare(shard, world.facts), world.facts, policy, SignalRules()
    )
    first, last = world.facts.window
    logins, time = shard.logins, shard.logins["time"]
    rows = np.flatnonzero((written["decision"] != NO_DECISION) & (time >= first) & (time < last))
    columns = {name: logins[name][rows] for name in _KEPT if name in logins}
    columns.setdefault("campaign", np.full(len(rows), -1, np.int32))  # a real log tells of none
    columns |= {name: written[name][rows] for name in _NOTED}
    columns |= {"shard": np.full(len(rows), shard.index, np.int32), "row": rows.astype(np.int32)}
    return Observed(values[rows], columns, {}, policy)


def fit_scorer(
    world: World,
    scorer: Literal["rules", "freeman", "learned", "anomaly"],
    *,
    policy: Policy | None = None,
    seen: Observed | None = None,
    attack: Array | None = None,
    weights: Array | None = None,
    rows: Array | None = None,
    labels: str = TRUTH,
    seed: int = 0,
    attack_term: bool = False,
    **settings: Any,
) -> RuleScorer | Freeman | Learned | Anomaly:
    """Fit a scorer to a world, whose history the policy that ran (default: risk-based) shaped.

    Rows are split by time (`risk.training.SHARES`); the card tells the error on the last part.
    `attack`, `weights` and the mask `rows` have an entry a row of `observe(world, policy)`, which
    may be handed over as `seen`; `labels` says in the card what they are. Freeman needs no labels:
    it counts the logins completed before the last part, none of accounts that `rows` leaves out.
    Nor does the anomaly scorer. `settings` go to the trees. `InputError` for an unknown scorer, and
    where there are too few attacks to learn from.

    >>> import twofa_lab as lab
    >>> world = lab.simulate("us-consumer", users=3_000, days=60, seed=1)
    >>> fit_scorer(world, "rules").points.new_device > 0
    True
    """
    if scorer not in {"rules", "freeman", "learned", "anomaly"}:
        raise InputError(f"unknown scorer {scorer!r}: use rules, freeman, learned or anomaly")
    if settings and scorer not in {"learned", "anomaly"}:
        raise InputError(f"the {scorer} scorer takes no setting {', '.join(settings)}")
    found = seen or observe(world, policy)
    training = found.training(attack, weights, rows)
    facts = world.facts
    about: dict[str, Any] = {
        "data": {
            "world": facts.name, "fingerprint": facts.fingerprint, "users": facts.users,
            "human side": facts.human_side,
        },
        "history": found.policy.name,
        "labels": labels,
        "seed": seed,
    }  # fmt: skip
    if scorer == "learned":
        return Learned.fit(training, **about, **settings)
    if scorer == "anomaly":
        return Anomaly.fit(training, **about, **settings)
    every = found.columns["user_id"]
    if rows is not None:
        found = found.rows(rows)
    held_out = np.setdiff1d(every, found.columns["user_id"])
    last = training.time > np.quantile(training.time, 1.0 - LAST_SHARE, method="lower")
    if scorer == "rules":
        return _fit_rules(found, training, last, about)
    return _fit_freeman(world, found, training, last, held_out, about, attack_term=attack_term)


def _fit_rules(
    found: Observed, training: Training, last: Array, about: dict[str, Any]
) -> RuleScorer:
    first = training.rows(~last)
    first.check("fitted on")
    bits, failures = found.columns["signals"], found.columns["failures"]
    points = fit_points(bits[~last], failures[~last], first.attack, first.weights)
    table = points.table(SignalRules())
    scores = table[bits[last], np.minimum(failures[last], table.shape[1] - 1)]
    signals = (*SIGNALS, "failed_attempt")
    card = card_of("rules", signals, first, training.rows(last), scores, **about)
    return RuleScorer(points, card)


def _fit_freeman(
    world: World,
    found: Observed,
    training: Training,
    last: Array,
    held_out: Array,
    about: dict[str, Any],
    *,
    attack_term: bool,
) -> Freeman:
    """Count what was completed before the last part, and judge that part open loop: there every
    login with the right password enters its account's past.
    """
    cut = int(training.time[last].min(initial=world.facts.window[1]))
    words = world.facts.vocabularies
    ready = ready_for(world, [found.policy])
    columns = {*needed([found.policy]), *LEVELS, "ip_listed", "login_id"}
    model = Freeman.fit(
        (
            _completed(ready.source.load(index, columns), world, found.policy, cut, held_out)
            for index in range(len(ready.source))
        ),
        words,
        attack_term=attack_term,
    )
    scores = np.full(len(found), np.nan)
    for shard in world.shards(("time", "password_ok", "signup", "ip_listed", *LEVELS)):
        here = np.flatnonzero(found.columns["shard"] == shard.index)
        scores[here] = model.score(shard.logins, words).score[found.columns["row"][here]]
    known = last & np.isfinite(scores)
    risks = scores[known] / (1.0 + scores[known])
    about = about | {"labels": f"for the error alone: {about['labels']}"}
    card = card_of("freeman", LEVELS, training.rows(~last), training.rows(known), risks, **about)
    return replace(model, card=card)


def _completed(
    shard: Shard, world: World, policy: Policy, until: int, held_out: Array
) -> dict[str, Array]:
    """The logins of a shard before a time that the policy let through, but for some accounts."""
    outcome = replay_shard(shard, world.facts, policy)["outcome"]
    done = np.isin(outcome, [OUTCOME_NAMES.index(name) for name in ("allowed", "verified")])
    done &= (shard.logins["time"] < until) & ~np.isin(shard.logins["user_id"], held_out)
    counted = ("user_id", "time", "password_ok", "signup", *LEVELS)
    return {name: shard.logins[name][done] for name in counted}


def _segments(
    columns: dict[str, Array], age_days: Array, words: dict[str, tuple[str, ...]]
) -> dict[str, Array]:
    """Masks of the rows, by whom the challenges fall on."""
    found = {
        "account's first logins": age_days < 0,
        f"accounts under {_NEW_DAYS:.0f} days": (age_days >= 0) & (age_days < _NEW_DAYS),
        "older accounts": age_days >= _NEW_DAYS,
        "listed addresses": columns["ip_listed"],
    }
    for code, name in enumerate(words["device_type"]):
        found[f"device: {name}"] = columns["device_type"] == code
    country = columns["country"]
    counts = np.bincount(country[country >= 0], minlength=1)
    for code in np.argsort(-counts, kind="stable")[:_COUNTRIES].tolist():
        if counts[code]:
            found[f"from {words['country'][code]}"] = country == code
    return found
