"""Simulated attackers cannot be told by what should say nothing of them.

A strong classifier gets ids, row order, fractions of a second and of a minute, the form of texts,
and potential outcomes, and must fail: its AUC on accounts it never saw has to lie within what
shuffled labels give. The same harness finds every artefact that is planted.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from tests.traffic.conftest import Rows
from twofa_lab.risk.model_card import area_under_curve
from twofa_lab.tables import ATTACKS, POTENTIAL_OUTCOMES, Array

TEXTS = ("country", "region", "city", "user_agent", "browser", "os", "device_type")
BY_DEVICE = ("po_phone_at_hand", "po_defeats")
"""Potential outcomes that hang on who and where one is, and not on the challenge alone: whether the
phone is at hand differs by device, and what an attacker gets past is what makes an attacker."""

Logins = dict[str, Array]
Words = dict[str, Array]


def other_form(words: Array) -> Array:
    """For each text of a vocabulary, whether it is another form of one that stands before it."""
    seen: dict[str, str] = {}
    same = [seen.setdefault(" ".join(text.casefold().split()), text) != text for text in words]
    return np.array([*same, False])  # a missing text is the last


def silent_features(logins: Logins, words: Words, rng: np.random.Generator) -> dict[str, Array]:
    """What should carry no information about whether a row is an attack."""
    found: dict[str, Array] = {}
    time, row = logins["time"], np.arange(len(logins["time"]))
    for name, size in (("ms", 1000), ("ms of ten", 10), ("ms of hundred", 100)):
        found[name] = time % size
    found["second"] = time // 1000 % 60
    for size in (2, 3, 7, 10, 16, 64):
        found[f"login_id mod {size}"] = logins["login_id"] % size
        found[f"user_id mod {size}"] = logins["user_id"] % size
        found[f"row mod {size}"] = row % size
    device = logins["device_id"]
    for shift in (0, 16, 32, 48):
        found[f"device_id from bit {shift}"] = device >> np.uint64(shift) & np.uint64(0xFFFF)
    found["device_id ones"] = np.bitwise_count(device)
    found["parity of rtt"] = logins["rtt_ms"] % 2
    for name in TEXTS:
        found[f"form of {name}"] = other_form(words[name])[logins[name]]
        text = words[name]
        blanks = np.array([*(len(t) - len(t.strip()) + t.count("  ") for t in text), 0])
        found[f"blanks of {name}"] = blanks[logins[name]]
    for column in POTENTIAL_OUTCOMES:
        values = logins[column.name]
        found[f"{column.name}, shuffled"] = rng.permutation(values)
        if column.name not in BY_DEVICE:
            found[column.name] = values
    return found


def one_a_device(logins: Logins, rng: np.random.Generator) -> Array:
    """A row for each device, so that one device at many accounts, which does tell, is seen once;
    then as many people's as attackers'.
    """
    rows = np.flatnonzero(~logins["signup"])
    rows = rng.permutation(rows)
    _, first = np.unique(logins["device_id"][rows], return_index=True)
    rows = rows[np.sort(first)]
    attack = logins["attack"][rows] > 0
    size = min(int(attack.sum()), int((~attack).sum()), 4_000)
    return np.sort(np.concatenate([rows[attack][:size], rows[~attack][:size]]))


def told_apart(logins: Logins, words: Words, seed: int = 0) -> tuple[float, float, int]:
    """The classifier's AUC on accounts it never saw, the 99.9th percentile of what it is with the
    labels shuffled, and the rows it was tried on.
    """
    rng = np.random.default_rng(seed)
    features = silent_features(logins, words, rng)
    rows = one_a_device(logins, rng)
    table = np.column_stack([values[rows].astype(np.float64) for values in features.values()])
    attack = logins["attack"][rows] > 0
    learnt = rng.random(int(logins["user_id"].max()) + 1)[logins["user_id"][rows]] < 0.6
    model = HistGradientBoostingClassifier(
        max_iter=60, learning_rate=0.15, random_state=0, early_stopping=False
    )
    model.fit(table[learnt], attack[learnt])
    scores = model.predict_proba(table[~learnt])[:, 1]
    truth = attack[~learnt]
    shuffled = [area_under_curve(scores, rng.permutation(truth)) or 0.0 for _ in range(200)]
    spread = float(np.std(shuffled))
    return area_under_curve(scores, truth) or 0.0, 0.5 + 3.29 * spread, len(truth)


@pytest.fixture(scope="module")
def words(attacked: Rows) -> Words:
    return {name: np.array(attacked.world.facts.vocabularies[name], dtype=object) for name in TEXTS}


def test_attackers_cannot_be_told_by_what_carries_no_information(
    attacked: Rows, words: Words
) -> None:
    auc, limit, rows = told_apart(attacked.logins, words)
    assert rows > 1_000
    assert limit < 0.56  # so that an artefact worth the name would be seen
    assert 1.0 - limit < auc < limit


def whole_seconds(logins: Logins, words: Words, attack: Array) -> None:
    logins["time"] = np.where(attack, logins["time"] // 1000 * 1000, logins["time"])


def even_numbers(logins: Logins, words: Words, attack: Array) -> None:
    logins["login_id"] = np.where(attack, logins["login_id"] // 2 * 2, logins["login_id"])


def small_device_numbers(logins: Logins, words: Words, attack: Array) -> None:
    short = logins["device_id"] >> np.uint64(12)
    logins["device_id"] = np.where(attack, short, logins["device_id"])


def another_spelling(logins: Logins, words: Words, attack: Array) -> None:
    """Attackers' browsers come from a pool of their own, spelt in another way."""
    size = len(words["user_agent"])
    words["user_agent"] = np.concatenate(
        [words["user_agent"], [text.lower() for text in words["user_agent"]]]
    )
    moved = np.where(logins["user_agent"] >= 0, logins["user_agent"] + size, -1)
    logins["user_agent"] = np.where(attack, moved, logins["user_agent"])


def hasty_typing(logins: Logins, words: Words, attack: Array) -> None:
    quick = (logins["po_entry_ds"] * 0.7).astype(logins["po_entry_ds"].dtype)
    logins["po_entry_ds"] = np.where(attack, quick, logins["po_entry_ds"])


@pytest.mark.parametrize(
    "plant", [whole_seconds, even_numbers, small_device_numbers, another_spelling, hasty_typing]
)
def test_an_artefact_that_is_planted_is_found(
    attacked: Rows, words: Words, plant: Callable[[Logins, Words, Array], None]
) -> None:
    logins, forms = dict(attacked.logins), dict(words)
    plant(logins, forms, logins["attack"] > 0)
    auc, limit, _ = told_apart(logins, forms)
    assert auc > limit + 0.02


def test_every_text_has_one_form(words: Words) -> None:
    for name, texts in words.items():
        assert len(set(texts)) == len(texts), name
        assert not other_form(texts).any(), name
        assert all(text == text.strip() for text in texts), name


def test_a_user_agent_means_the_same_whoever_sends_it(attacked: Rows) -> None:
    """Attackers' browsers are told by the same table as everybody's."""
    logins = attacked.logins
    for name in ("browser", "os", "device_type"):
        pairs = {
            is_attack: dict(
                zip(logins["user_agent"][rows].tolist(), logins[name][rows].tolist(), strict=True)
            )
            for is_attack, rows in ((False, attacked.legitimate), (True, ~attacked.legitimate))
        }
        both = pairs[False].keys() & pairs[True].keys()
        assert len(both) > 20
        assert all(pairs[False][agent] == pairs[True][agent] for agent in both)


def test_every_kind_of_attack_is_in_the_sample(attacked: Rows) -> None:
    rows = one_a_device(attacked.logins, np.random.default_rng(0))
    kinds = set(np.unique(attacked.logins["attack"][rows]).tolist())
    assert kinds >= {ATTACKS.index(kind) for kind in ATTACKS[1:-1] if kind != "stolen_device"}
