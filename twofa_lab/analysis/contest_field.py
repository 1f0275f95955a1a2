"""The playing field of a contest between scorers: who is learned from, and who is judged.

Split three ways. *Time*: what is learned from came before the cut, what is judged after it.
*Accounts*: those judged are others than those learned from, and the attackers of either side are
made of the logins of that side alone. *Campaigns*: an attack judged belongs to a campaign that
began after the cut (where a kind of attack has no campaigns: to a hit on an account that did).

Open loop, as in the field's own evaluations: each attempt is judged by its victim's past and enters
nobody's. In the pasts every legitimate login with the right password was completed, and no
attacker's was; wrong passwords count, whoever typed them. What a policy would change about the
pasts is the closed loop's to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from twofa_lab.errors import InputError
from twofa_lab.replay.beside import with_beside
from twofa_lab.risk.freeman import LEVELS
from twofa_lab.risk.learned import vectors_as_it_came
from twofa_lab.risk.training import Training
from twofa_lab.tables import ATTACKS, Array
from twofa_lab.traffic.attack_models import ATTACK_MODELS, as_last_rows, draw_attempts
from twofa_lab.traffic.world import World, WorldFacts

__all__ = ["Field", "Judged", "Learn", "Lesson", "lay_out_field"]

Learn = Literal["attacks", "models"]
"""What scorers that learn take for attacks: those of the world, or those built by the models."""

_HISTORY = "every legitimate login completed, no attacker's (open loop)"

_FEWEST = 10  # attacks below which a log has too few labels to learn from


class Lesson(NamedTuple):
    """What an entrant may learn from. `training`: vectors of logins whose account has a past, with
    labels. `past`: the completed logins as a table, account-major. `about`: for its model card.
    """

    training: Training
    past: dict[str, Array]
    words: Mapping[str, tuple[str, ...]]
    about: dict[str, Any]


class Judged(NamedTuple):
    """Attempts of one kind to be judged: a table in which each is the last row of an account of its
    own, the places of those rows, and the victims. `asked`: how many were to be made, of a model.
    """

    table: dict[str, Array]
    place: Array
    victim: Array
    asked: int | None


@dataclass(frozen=True, eq=False)
class Field:
    """A world laid out for a contest.

    `table`: the held-out accounts' logins, but for those of attackers with the right password.
    Masks of its rows: `people`, legitimate logins with the right password; `has_past`, the account
    had completed one before; `judged`, both of them, after the cut. `attempts`: by kind of attack
    of the world, and by attacker model. `cut`: ms. `learn_from`: which attacks were learned.
    """

    facts: WorldFacts
    cut: int
    learn_from: Learn
    table: dict[str, Array]
    people: Array
    has_past: Array
    judged: Array
    attempts: dict[str, Judged]
    lesson: Lesson


def lay_out_field(
    world: World,
    *,
    learn_from: Learn | None,
    train_share: float,
    held_out: float,
    attempts: int,
    cookies: bool,
    seed: int,
) -> Field:
    """Lay out a world, held in memory. `train_share` of the window's time is learned from, a share
    `held_out` of the accounts is judged, and `attempts` are made of each attacker model.
    `learn_from` None: the world's attacks where there are enough, else the models'. Without
    `cookies` a device is known by its user agent alone, as in a log that holds no device ids.
    """
    facts, table = world.facts, _whole(world)
    if not cookies:
        table["device_id"] = (table["user_agent"].astype(np.int64) + 1).astype(np.uint64)
    rng = np.random.default_rng(seed)
    first, last = facts.window
    cut = int(first + train_share * (last - first))
    time, right = table["time"], table["password_ok"] & ~table["signup"]
    legitimate = table["attack"] == 0
    happened = legitimate | ~table["password_ok"]
    accounts, account = np.unique(table["user_id"], return_inverse=True)
    apart = (rng.random(len(accounts)) < held_out)[account]
    past = _has_past(account, happened & (right | table["signup"]))
    judged = legitimate & right & past & apart & (time >= cut)
    taught = legitimate & right & past & ~apart & (time >= first) & (time < cut)
    if not judged.any() or not taught.any():
        raise InputError(
            "too few logins for a contest: on either side of the cut some accounts must have a "
            "login with the right password after an earlier one; take more users or days"
        )
    hits, began = _hits(table, account, right & (time >= first))
    tried = hits[past[hits] & apart[hits] & (time[hits] >= cut) & (began >= cut)]
    known = hits[past[hits] & ~apart[hits] & (time[hits] < cut)]
    side = legitimate & right & apart
    against = _by_kind(table, tried, happened) | _by_model(
        table, happened, side, judged, attempts, rng
    )
    own = ~apart & (time < cut)
    learn: Learn = learn_from or ("attacks" if len(known) >= _FEWEST else "models")
    lessons = (
        _by_kind(table, known, happened)
        if learn == "attacks"
        else _by_model(table, happened, legitimate & right & own, taught, attempts, rng)
    )
    here = happened & apart
    return Field(
        facts, cut, learn,
        {name: column[here] for name, column in table.items()},
        (legitimate & right)[here], past[here], judged[here], against,
        _lesson(table, happened & own, taught, lessons, facts, learn, seed),
    )  # fmt: skip


def _whole(world: World) -> dict[str, Array]:
    """All logins in one table, with the columns beside them."""
    parts = [shard.logins for shard in with_beside(world).shards()]
    if not parts:
        raise InputError("the world holds no accounts")
    names = [name for name in parts[0] if not name.startswith("po_")]
    table = {name: np.concatenate([part[name] for part in parts]) for name in names}
    table.setdefault("campaign", np.full(len(table["time"]), -1, np.int32))
    return table


def _has_past(account: Array, completed: Array) -> Array:
    """Whether an account completed a login in an earlier row."""
    before = np.cumsum(completed) - completed
    start = np.flatnonzero(np.append(True, account[1:] != account[:-1]))
    found: Array = before > np.repeat(before[start], np.diff(np.append(start, len(account))))
    return found


def _hits(table: Mapping[str, Array], account: Array, attempts: Array) -> tuple[Array, Array]:
    """The first attempt of each hit (of a kind and campaign on an account) with the right password,
    as row numbers; and when its campaign began, or the hit where its kind has no campaigns.
    """
    every = np.flatnonzero(table["attack"] > 0)
    kind, campaign = table["attack"][every].astype(np.int64), table["campaign"][every]
    for code in np.unique(kind):
        if len(np.unique(campaign[kind == code])) == 1:
            campaign = np.where(kind == code, -1 - account[every], campaign)
    units, unit = np.unique(np.stack([kind, campaign]), axis=1, return_inverse=True)
    began = np.full(units.shape[1], np.iinfo(np.int64).max)
    np.minimum.at(began, unit.ravel(), table["time"][every])
    right = attempts[every]
    rows, of_unit = every[right], unit.ravel()[right]
    hit = np.stack([of_unit, account[rows]])
    first = np.sort(np.unique(hit, axis=1, return_index=True)[1])
    return rows[first], began[of_unit[first]]


def _by_kind(table: Mapping[str, Array], rows: Array, happened: Array) -> dict[str, Judged]:
    """The world's own attempts, by kind."""
    found = {}
    for code in np.unique(table["attack"][rows]):
        some = rows[table["attack"][rows] == code]
        columns = {name: column[some] for name, column in table.items()}
        made, place = as_last_rows(table, columns, happened)
        found[ATTACKS[code]] = Judged(made, place, columns["user_id"], None)
    return found


def _by_model(
    table: Mapping[str, Array],
    happened: Array,
    known: Array,
    strangers: Array,
    count: int,
    rng: np.random.Generator,
) -> dict[str, Judged]:
    """Attempts of each attacker model, by a name that tells them from the world's kinds."""
    found = {}
    for model in ATTACK_MODELS:
        drawn = draw_attempts(
            table, model, np.flatnonzero(known), np.flatnonzero(strangers), count, rng
        )
        made, place = as_last_rows(table, drawn.columns, happened)
        found[f"model: {model}"] = Judged(made, place, drawn.columns["user_id"], drawn.asked)
    return found


def _lesson(
    table: Mapping[str, Array],
    own: Array,
    taught: Array,
    lessons: Mapping[str, Judged],
    facts: WorldFacts,
    learn: Learn,
    seed: int,
) -> Lesson:
    """Vectors and labels of one side; `own` are its rows before the cut that happened."""
    words = facts.vocabularies
    before = {name: column[own] for name, column in table.items()}
    legitimate = taught[own]
    values = [vectors_as_it_came(before, words)[legitimate]]
    times = [before["time"][legitimate]]
    for attack in lessons.values():
        if len(attack.place):
            values.append(vectors_as_it_came(attack.table, words)[attack.place])
            times.append(attack.table["time"][attack.place])
    rows = np.cumsum([len(part) for part in times])
    training = Training(
        np.concatenate(values), np.arange(rows[-1]) >= rows[0], np.concatenate(times)
    )
    counted = ("user_id", "time", "password_ok", "signup", *LEVELS)
    completed = (before["attack"] == 0) & (before["password_ok"] | before["signup"])
    labels = "attacks before the cut" if learn == "attacks" else "attackers built by the models"
    about = {
        "data": {
            "world": facts.name, "fingerprint": facts.fingerprint, "users": facts.users,
            "human side": facts.human_side,
        },
        "history": _HISTORY,
        "labels": labels,
        "seed": seed,
    }  # fmt: skip
    return Lesson(training, {name: before[name][completed] for name in counted}, words, about)
