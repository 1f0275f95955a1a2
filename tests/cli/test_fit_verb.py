"""`twofa-lab fit`: a model file from a run, or one line that says why not."""

import json
from pathlib import Path

import pytest

import twofa_lab as lab
from twofa_lab.cli.main import main
from twofa_lab.risk.freeman_model import Freeman
from twofa_lab.risk.model_file import load_scorer


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "first"
    lab.simulate("us-consumer", users=300, days=14, seed=3, out=path)
    return path


def test_a_model_comes_with_its_card(run, tmp_path, capsys):
    out = tmp_path / "freeman.skops"
    assert main(["fit", str(run), "--scorer", "freeman", "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["path"] == str(out)
    assert told["card"]["scorer"] == "freeman"
    assert told["card"]["data"]["fingerprint"] == lab.load(run).facts.fingerprint
    assert isinstance(load_scorer(out), Freeman)


def test_the_card_is_printed_for_people(run, tmp_path, capsys):
    out = tmp_path / "freeman.skops"
    assert main(["fit", str(run), "--scorer", "freeman", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "judged on" in said
    assert f"written: {out}" in said


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--scorer", "magic"], "unknown scorer 'magic'"),
        (["--scorer", "learned"], "take more users or days"),
        (["--policy", "no-such"], "no-such"),
    ],
)
def test_what_cannot_be_fitted_is_one_line(run, tmp_path, capsys, arguments, why):
    out = tmp_path / "m.skops"
    assert main(["fit", str(run), "--out", str(out), *arguments]) == 2
    said = capsys.readouterr().err
    assert why in said
    assert said.count("\n") == 1
    assert not out.exists()
