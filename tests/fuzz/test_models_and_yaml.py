"""Model files and YAML that somebody else made: spoilt, and made to harm; pipes in their place."""

from __future__ import annotations

import io
import json
import os
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io

from tests.fuzz.mutations import count, rng_of, spoilt, spoilt_value, survives
from tests.risk.test_additive import TRAINING
from twofa_lab.errors import InputError, LabError
from twofa_lab.risk.learned import Learned
from twofa_lab.risk.model_card import ModelCard
from twofa_lab.risk.model_file import load_scorer, save_scorer, scorer_of
from twofa_lab.risk.policy import Policy
from twofa_lab.risk.rule_scorer import RuleScorer
from twofa_lab.risk.rules import RulePoints


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A learned scorer and the rules, as the bytes of their files."""
    folder = tmp_path_factory.mktemp("models")
    learned = Learned.fit(TRAINING, data={"world": "made up"}, history="none", max_iter=5)
    card: ModelCard = learned.card
    rules = RuleScorer(RulePoints(), ModelCard.from_dict(card.to_dict() | {"scorer": "rules"}))
    return {
        "learned": save_scorer(learned, folder / "l.skops").read_bytes(),
        "rules": save_scorer(rules, folder / "r.skops").read_bytes(),
    }


def rezipped(data: bytes, change: Callable[[str, bytes], bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w") as new:
        for entry in old.namelist():
            new.writestr(entry, change(entry, old.read(entry)))
    return made.getvalue()


def test_model_files(models: dict[str, bytes], tmp_path: Path) -> None:
    rng, path, samples = rng_of("models"), tmp_path / "m.skops", list(models.values())

    def spoil(entry: str, data: bytes) -> bytes:
        if entry == "schema.json" and rng.random() < 0.7:
            return json.dumps(spoilt_value(json.loads(data), rng)).encode("utf-8", "surrogatepass")
        return spoilt(data, rng) if rng.random() < 0.2 else data

    def contents() -> Iterator[bytes]:
        yield from samples
        for _ in range(count(40)):
            yield rezipped(rng.choice(samples), spoil)
            yield spoilt(rng.choice(samples), rng, samples)

    def read(data: bytes) -> None:
        path.write_bytes(data)
        found = load_scorer(path)
        if isinstance(found, Learned):
            assert np.isfinite(found.probabilities(TRAINING.values[:50])).all()

    came = survives("model files", contents(), read)
    assert came["taken"]
    assert [item.name for item in tmp_path.iterdir()] == ["m.skops"]


EVIL = [
    {"__class__": "system", "__module__": "os", "__loader__": "FunctionNode", "content": "touch"},
    {"__class__": "Popen", "__module__": "subprocess", "__loader__": "ObjectNode", "content": None},
    {"__class__": "eval", "__module__": "builtins", "__loader__": "TypeNode", "content": "1"},
    {"__class__": "partial", "__module__": "functools", "__loader__": "PartialNode", "content": {}},
    {"__class__": "ndarray", "__module__": "numpy", "__loader__": "NdArrayNode", "type": "numpy",
     "file": "../../etc/passwd"},
    {"__class__": "ndarray", "__module__": "numpy", "__loader__": "NdArrayNode", "type": "numpy",
     "file": "/etc/passwd"},
]  # fmt: skip


@pytest.mark.parametrize("evil", EVIL)
def test_a_foreign_part_of_a_model_is_never_made(
    models: dict[str, bytes], tmp_path: Path, evil: dict[str, Any]
) -> None:
    path = tmp_path / "m.skops"

    def put(entry: str, data: bytes) -> bytes:
        if entry != "schema.json":
            return data
        schema = json.loads(data)
        schema["content"]["format"] = {**evil, "__id__": 1}
        return json.dumps(schema).encode()

    path.write_bytes(rezipped(models["rules"], put))
    with pytest.raises(InputError) as caught:
        load_scorer(path)
    assert len(str(caught.value).splitlines()) == 1
    assert [item.name for item in tmp_path.iterdir()] == ["m.skops"]


class Touch:
    """Would write a file if it were ever unpickled or made."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("owned",)


def test_a_pickle_is_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pickle

    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.skops").write_bytes(pickle.dumps(Touch()))
    with pytest.raises(InputError, match="not a scorer's file"):
        load_scorer("m.skops")
    array = np.array([Touch()], object)
    made = io.BytesIO()
    np.save(made, array, allow_pickle=True)
    whole = skops.io.dumps({"format": "twofa-lab scorer 1", "a": np.zeros(3)})
    evil = rezipped(whole, lambda entry, data: made.getvalue() if entry.endswith(".npy") else data)
    (tmp_path / "m.skops").write_bytes(evil)
    with pytest.raises(InputError, match="not a scorer's file"):
        load_scorer("m.skops")
    assert [item.name for item in tmp_path.iterdir()] == ["m.skops"]


def test_a_model_that_unpacks_to_far_more_than_it_is_is_refused(
    models: dict[str, bytes], tmp_path: Path
) -> None:
    path = tmp_path / "m.skops"
    path.write_bytes(models["rules"])
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("padding.npy", bytes(60 << 20))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(InputError, match="unpacks to more than a scorer can be"):
        load_scorer(path)


def test_a_model_s_entries_are_written_nowhere(models: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "inner" / "m.skops"
    path.parent.mkdir()
    path.write_bytes(models["rules"])
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("../outside.txt", "x")
        file.writestr("/tmp/owned-by-a-model", "x")  # noqa: S108 - must not appear
    load_scorer(path)
    assert [item.name for item in tmp_path.iterdir()] == ["inner"]
    assert not Path("/tmp/owned-by-a-model").exists()  # noqa: S108


def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def never(read: Callable[[], object]) -> None:
        told: list[str] = []

        def run() -> None:
            try:
                read()
            except LabError as error:
                told.append(str(error))

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        end = time.monotonic() + 20
        while thread.is_alive() and time.monotonic() < end:
            thread.join(0.1)
        waited = thread.is_alive()
        if waited:  # let go of it
            os.close(os.open(pipe, os.O_RDWR | os.O_NONBLOCK))
        assert not waited
        assert told
        assert len(told[0].splitlines()) == 1

    from twofa_lab.traffic.addresses import mmdb_addresses
    from twofa_lab.traffic.readers import read_columns
    from twofa_lab.traffic.scenario import Scenario

    never(lambda: load_scorer(pipe))
    never(lambda: Policy.named(str(pipe)))
    never(lambda: Scenario.load(pipe))
    never(lambda: read_columns(pipe, "rba", progress=False))
    never(lambda: read_columns(pipe, "openssh", progress=False))
    never(lambda: mmdb_addresses(pipe))


# -- YAML ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "name: &a [x, x]\nchallenge_at: *a\n",
        "a: &a [x]\n" + "".join(f"b{i}: &b{i} [*a, *a]\n" for i in range(50)),
        "name: !!python/object/apply:os.mkdir ['owned']\n",
        "name: !!python/name:os.system\n",
        "!!python/object/new:os.mkdir ['owned']\n",
        "name: " + "[" * 3_000 + "\n",
        "? " * 3_000 + "\n",
        "name: " + "1:" * 400_000 + "1\n",
        "name: '" + "\\x00" * 100 + "'\nx: \0\n",
        "name: 1\nname: 2\n",
    ],
)
def test_yaml_made_to_harm_is_refused_in_a_line(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from twofa_lab.traffic.scenario import Scenario

    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.yaml").write_text(text, "utf-8")
    for read in (Policy.named, Scenario.load):
        with pytest.raises(InputError) as caught:
            read("x.yaml")
        assert len(str(caught.value).splitlines()) == 1
    assert [item.name for item in tmp_path.iterdir()] == ["x.yaml"]


def test_a_policy_s_model_is_read_as_a_model_wherever_it_points(tmp_path: Path) -> None:
    policy = tmp_path / "p.yaml"
    for model in ("/etc/passwd", "../../../../etc/passwd", "/dev/zero", "/dev/stdin", "p.yaml"):
        policy.write_text(f"name: x\nscorer: learned\nmodel: {model}\n", "utf-8")
        with pytest.raises(InputError) as caught:
            scorer_of(Policy.named(str(policy)))
        assert "root:" not in str(caught.value)
