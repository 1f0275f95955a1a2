"""Scorers saved and read again; files that are foreign, hostile or broken are refused."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from hypothesis import given
from hypothesis import strategies as st

from tests.risk.test_additive import TRAINING
from twofa_lab.errors import InputError, WorkError
from twofa_lab.risk.freeman_model import Freeman
from twofa_lab.risk.learned import Learned
from twofa_lab.risk.model_card import ModelCard
from twofa_lab.risk.model_file import TRUSTED, load_scorer, save_scorer, scorer_of
from twofa_lab.risk.policy import Policy
from twofa_lab.risk.rule_scorer import RuleScorer
from twofa_lab.risk.rules import RulePoints

TEXTS = ("Mozilla/5.0 \0 odd", "Opéra \U0001f600", "", "plain")


@pytest.fixture(scope="module")
def learned() -> Learned:
    return Learned.fit(TRAINING, data={"world": "made up"}, history="none", max_iter=30)


@pytest.fixture(scope="module")
def card(learned: Learned) -> ModelCard:
    return learned.card


def table(rows: int = 400) -> dict[str, Any]:
    rng = np.random.default_rng(2)
    text = {"country": "i2", "user_agent": "i4", "browser": "i2", "os": "i2", "device_type": "i1"}
    return {
        "user_id": np.sort(rng.integers(0, 30, rows)),
        "time": np.arange(rows, dtype=np.int64),
        "password_ok": rng.random(rows) < 0.8,
        "signup": np.zeros(rows, np.bool_),
        "ip": rng.integers(0, 40, rows).astype(np.uint64) << np.uint64(58),
        "asn": rng.integers(1, 9, rows).astype(np.uint32),
        **{name: rng.integers(-1, 4, rows).astype(dtype) for name, dtype in text.items()},
    }


WORDS = dict.fromkeys(("country", "user_agent", "browser", "os", "device_type"), TEXTS)


@pytest.fixture(scope="module")
def freeman(card: ModelCard) -> Freeman:
    return replace(Freeman.fit([table()], WORDS), card=replace(card, scorer="freeman"))


def test_a_learned_scorer_comes_back(learned: Learned, tmp_path: Path) -> None:
    found = load_scorer(save_scorer(learned, tmp_path / "m.skops"))
    assert isinstance(found, Learned)
    assert found.card == learned.card
    assert np.array_equal(
        found.probabilities(TRAINING.values), learned.probabilities(TRAINING.values)
    )
    np.testing.assert_allclose(
        found.estimator.predict_proba(TRAINING.values)[:, 1],
        found.probabilities(TRAINING.values), rtol=0, atol=1e-12,
    )  # fmt: skip


def test_a_freeman_scorer_comes_back_with_every_text(freeman: Freeman, tmp_path: Path) -> None:
    found = load_scorer(save_scorer(freeman, tmp_path / "f.skops"))
    assert isinstance(found, Freeman)
    assert found.card == freeman.card
    for mine, theirs in zip(freeman.book.values, found.book.values, strict=True):
        assert mine.tolist() == theirs.tolist()
    before, after = freeman.score(table(), WORDS), found.score(table(), WORDS)
    assert np.array_equal(before.score, after.score, equal_nan=True)
    assert np.isfinite(after.score).any()


def test_rules_come_back(card: ModelCard, tmp_path: Path) -> None:
    rules = RuleScorer(RulePoints(odd_hour=0.25), replace(card, scorer="rules"))
    found = load_scorer(save_scorer(rules, tmp_path / "r.skops"))
    assert isinstance(found, RuleScorer)
    assert (found.points, found.card) == (rules.points, rules.card)


def test_a_scorer_without_a_card_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no model card"):
        save_scorer(RuleScorer(), tmp_path / "r.skops")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_failed_work(learned: Learned, tmp_path: Path) -> None:
    with pytest.raises(WorkError, match="none"):
        save_scorer(learned, tmp_path / "none" / "m.skops")


def content_of(scorer: Any, path: Path) -> dict[str, Any]:
    return skops.io.load(save_scorer(scorer, path), trusted=list(TRUSTED))


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_scorer(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert len(line.splitlines()) == 1
    return line


class Foreign:
    """A type that no scorer holds."""


def test_a_foreign_type_is_refused_and_never_made(learned: Learned, tmp_path: Path) -> None:
    path = tmp_path / "m.skops"
    content = content_of(learned, path) | {"estimator": Foreign()}
    skops.io.dump(content, path)
    assert "Foreign" in refused(path)


@pytest.mark.parametrize(
    ("module", "name"), [("os", "system"), ("builtins", "eval"), ("subprocess", "Popen")]
)
def test_a_schema_that_names_a_function_to_call_is_refused(
    learned: Learned, tmp_path: Path, module: str, name: str
) -> None:
    path, evil = save_scorer(learned, tmp_path / "m.skops"), tmp_path / "evil.skops"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(evil, "w") as new:
        for entry in old.namelist():
            data = old.read(entry)
            if entry == "schema.json":
                schema = json.loads(data)
                schema["__class__"], schema["__module__"] = name, module
                data = json.dumps(schema).encode()
            new.writestr(entry, data)
    assert name in refused(evil) or "not a scorer's file" in refused(evil)


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (lambda c: c | {"format": "twofa-lab scorer 0"}, "not a scorer's file of this version"),
        (lambda c: c | {"kind": "else"}, "do not fit together"),
        (lambda c: c | {"card": {}}, "card is not one of this version"),
        (lambda c: {k: v for k, v in c.items() if k != "additive"}, "part is missing"),
        (lambda c: c | {"additive": c["additive"][:3]}, "part is missing"),
        (lambda c: c | {"additive": [c["additive"][0], c["additive"][1] + 10**6,
                                     *c["additive"][2:]]}, "do not fit"),
        (lambda c: c | {"additive": [-c["additive"][0], *c["additive"][1:]]}, "do not fit"),
        (lambda c: c | {"additive": [*c["additive"][:2], c["additive"][2] * np.nan,
                                     c["additive"][3]]}, "do not fit"),
        (lambda c: c | {"additive": [c["additive"][0][:2], *c["additive"][1:]]}, "do not fit"),
    ],
)  # fmt: skip
def test_tables_that_compiled_code_must_not_read_are_refused(
    learned: Learned, tmp_path: Path, broken: Callable[[Any], Any], told: str
) -> None:
    path = tmp_path / "m.skops"
    skops.io.dump(broken(content_of(learned, path)), path)
    assert told in refused(path)


@pytest.mark.parametrize("place", range(5))
def test_counts_that_do_not_fit_their_values_are_refused(
    freeman: Freeman, tmp_path: Path, place: int
) -> None:
    path = tmp_path / "f.skops"
    content = content_of(freeman, path)
    content["counts"][place] = content["counts"][place][:-1]
    skops.io.dump(content, path)
    assert "do not fit together" in refused(path)


def test_no_file_and_no_zip_are_refused(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "none.skops")
    (tmp_path / "text.skops").write_text("import os")
    assert "not a scorer's file" in refused(tmp_path / "text.skops")
    assert refused(tmp_path)


@given(cut=st.integers(0, 3_000), at=st.integers(0, 3_000), byte=st.integers(0, 255))
def test_a_damaged_file_is_read_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, cut: int, at: int, byte: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.skops"
    rules = RuleScorer(RulePoints(), RULES_CARD)
    data = bytearray(save_scorer(rules, path).read_bytes())
    data[at % len(data)] = byte
    path.write_bytes(bytes(data[: len(data) - cut % 50]))
    try:
        assert isinstance(load_scorer(path), RuleScorer)
    except InputError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017


RULES_CARD = ModelCard(
    "rules", {}, {}, {}, "none", "truth", ("new_device",), "none", (), 0, {}, {"numpy": "2"}
)


def test_a_policy_gets_the_scorer_it_names(learned: Learned, tmp_path: Path) -> None:
    assert scorer_of(Policy.risk_based()) is None
    path = save_scorer(learned, tmp_path / "m.skops")
    policy = Policy(name="p", scorer="learned", model=str(path))
    found = scorer_of(policy)
    assert isinstance(found, Learned)
    assert scorer_of(policy) is found  # read once
    with pytest.raises(InputError, match="is learned, not freeman"):
        scorer_of(Policy(name="p", scorer="freeman", model=str(path)))
    with pytest.raises(InputError, match=r"policy p: model .*none\.skops: No such file"):
        scorer_of(Policy(name="p", scorer="learned", model=str(tmp_path / "none.skops")))
