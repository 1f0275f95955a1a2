"""The fresh-machine side: pins, Make targets and what continuous integration runs."""

import re
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def canonical(name: str) -> str:
    """A distribution's name as the packaging standard (PEP 503) compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = {}
    for line in lines:
        if not line.startswith("#"):
            match = re.fullmatch(r"([A-Za-z0-9._-]+)==([0-9][A-Za-z0-9.]*)", line)
            assert match, f"a pin is a name and an exact version, not {line!r}"
            assert canonical(match[1]) not in found, f"pinned twice: {line}"
            found[canonical(match[1])] = match[2]
    return found


def test_every_required_package_is_pinned(pins: dict[str, str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    required = [*project["dependencies"], *(entry for extra in extras for entry in extra)]
    names = {canonical(re.match(r"[A-Za-z0-9._-]+", entry)[0]) for entry in required}
    assert names - set(pins) == set()


def test_what_is_installed_is_what_is_pinned(pins: dict[str, str]) -> None:
    """So that an audit of the pins is one of what runs, and what was tested is what is named."""
    installed = {canonical(one.metadata["Name"]): one.version for one in distributions()}
    both = pins.keys() & installed.keys()
    print(f"{len(both)} of {len(pins)} pins are installed")  # noqa: T201 - a count to see
    assert len(both) > 100
    assert {name: installed[name] for name in both} == {name: pins[name] for name in both}


def test_every_make_target_says_what_it_does() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = set(re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split())
    explained = set(re.findall(r"^([a-z]+):[^=\n]*## \S", makefile, re.MULTILINE))
    assert phony == explained


def test_continuous_integration_lints_and_runs_the_tests() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert script[-2:] == ["make lint", "make test"]
    assert "set -euo pipefail" in script
