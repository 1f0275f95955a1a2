"""What the README tells people to type works, and its files exist."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from twofa_lab.cli.main import main
from twofa_lab.cli.verbs import app
from twofa_lab.traffic.scenario import scenario_names

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
VERBS = set(get_command(app).commands)


ENDLESS = {"provider"}  # run until they are stopped, which the tests of the command line do


def commands():
    """Every call of the command line in the README's code, with continued lines joined."""
    spans = re.findall(r"`(twofa-lab [^`\n]+)`", README)
    blocks = re.findall(r"^```\n(.*?)^```", README, re.S | re.M)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return spans + [line for line in lines if line.startswith("twofa-lab ")]


def test_the_python_block_runs(tmp_path, monkeypatch, capsys):
    (block,) = re.findall(r"```python\n(.*?)```", README, re.S)
    small = block.replace("users=50_000", "users=300").replace("days=90", "days=14")
    assert small != block
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reports").mkdir()
    exec(compile(small, "README.md", "exec"), {})  # noqa: S102 - the README's own code
    assert "risk-based" in capsys.readouterr().out
    assert (tmp_path / "reports" / "trade-off.png").stat().st_size > 1000


def test_every_make_target_exists():
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.M))
    assert {"demo", "test"} <= named
    assert named <= TARGETS


def test_every_verb_has_one_example_and_each_example_names_a_verb():
    assert {shlex.split(line)[1] for line in commands()} == VERBS


def test_the_examples_work(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(ROOT / "data")
    smaller = {"50000": "300", "5000": "300", "90": "14", "30": "14", "1000": "0"}
    for line in commands():
        words = shlex.split(line.partition(" > ")[0])[1:]
        if words[0] in ENDLESS:
            continue
        assert main([smaller.get(word, word) for word in words]) == 0, line
    assert "twofa-lab:" not in capsys.readouterr().err


def test_the_scenarios_it_names_ship():
    assert {"us-consumer", "public-sso"} <= set(scenario_names())


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!http)([^)#]+)", README))))
def test_links_lead_somewhere(link):
    assert (ROOT / link).is_file()
