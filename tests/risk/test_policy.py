"""A policy as a value and as a file: round trips, and every way a file can be wrong."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.strategies import policies
from twofa_lab.errors import InputError, WorkError
from twofa_lab.risk.policy import BUILT_IN, Fallback, Limits, Policy, read_yaml
from twofa_lab.risk.rules import RulePoints

FULL = Policy(
    name="Schritt für Schritt: 2026-q1 # \u2713",
    unscored="allow",
    challenge_at=0.4,
    deny_at=0.95,
    trust_device_days=14.5,
    trust_below=0.55,
    fallback=Fallback(channels=("sms", "voice"), timeout_seconds=20.0),
    max_attempts=3,
    allow_weaker_factor=False,
    points=RulePoints(0.4, 0.7, 0.45, 0.1, 0.65, 0.05),
    limits=Limits(
        throttle_after=5, first_wait_seconds=15.0, longest_wait_seconds=900.0, lock_after=50
    ),
)
"""No setting is the default's, but for the scorer and its model: those of the rules."""


def load(folder: Path, content: str | bytes) -> Policy:
    """The policy in a file of this content."""
    path = folder / "policy.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Policy.load(path)


def refusal(folder: Path, content: str | bytes) -> str:
    """The one line that a file of this content is refused with, without the file's name."""
    with pytest.raises(InputError) as caught:
        load(folder, content)
    line = str(caught.value)
    assert len(line.splitlines()) == 1
    assert line.startswith(f"{folder / 'policy.yaml'}: ")
    return line.removeprefix(f"{folder / 'policy.yaml'}: ")


def policy_or_none(folder: Path, content: bytes) -> Policy | None:
    """The policy in a file of this content, None where it is refused in one line."""
    try:
        return load(folder, content)
    except InputError as error:
        lines = str(error).splitlines()
    assert len(lines) == 1
    return None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("policies")


# A value.


def test_the_three_built_in_policies() -> None:
    assert list(BUILT_IN) == ["password-only", "universal", "risk-based"]
    only, universal, risk = BUILT_IN.values()
    assert (only.challenge_score, only.deny_score) == (math.inf, math.inf)
    assert (universal.challenge_score, universal.trust_device_days) == (0.0, None)
    assert (risk.challenge_at, risk.deny_at, risk.trust_device_days) == (0.45, None, 30.0)
    assert risk.fallback == Fallback(channels=("whatsapp", "sms", "voice"), timeout_seconds=30.0)
    assert risk.max_attempts == 5


def test_the_full_policy_changes_every_setting() -> None:
    """Else a round trip could lose one and nobody would know."""
    settings_ = {
        key if not isinstance(value, dict) else f"{key}.{name}"
        for key, value in yaml.safe_load(FULL.to_yaml()).items()
        for name in (value if isinstance(value, dict) else [key])
    }
    assert set(FULL.differences(Policy(name="d"))) == settings_ - {"scorer", "model"}


def test_a_policy_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValidationError):
        Policy.risk_based().challenge_at = 0.1  # type: ignore[misc]
    with pytest.raises(ValidationError):
        Policy.risk_based().fallback.timeout_seconds = 10.0  # type: ignore[misc]


def test_differences_name_the_dotted_key_here_and_there() -> None:
    mine, theirs = Policy.risk_based(), FULL
    found = mine.differences(theirs)
    assert found["challenge_at"] == (0.45, 0.4)
    assert found["fallback.channels"] == (["whatsapp", "sms", "voice"], ["sms", "voice"])
    assert found["points.odd_hour"] == (0.2, 0.1)
    assert found["limits.lock_after"] == (100, 50)
    assert mine.differences(mine) == {}


@given(policies(), policies())
def test_differences_are_mutual_and_empty_only_between_equals(one: Policy, other: Policy) -> None:
    there, back = one.differences(other), other.differences(one)
    assert there == {key: (mine, theirs) for key, (theirs, mine) in back.items()}
    assert (there == {}) == (one == other)


# A file.


@given(policies(exact=False))
def test_what_is_saved_is_what_is_loaded(folder: Path, policy: Policy) -> None:
    assert Policy.load(policy.save(folder / "saved.yaml")) == policy


def test_a_saved_policy_can_be_read_by_people(folder: Path) -> None:
    content = FULL.to_yaml()
    assert yaml.safe_load(content)["fallback"] == {
        "channels": ["sms", "voice"],
        "timeout_seconds": 20.0,
    }
    assert content.splitlines()[1:4] == ["scorer: rules", "model: null", "unscored: allow"]


def test_the_documented_form_loads(folder: Path) -> None:
    policy = load(
        folder,
        """
        name: step-up-2026-q1
        scorer: rules
        challenge_at: 0.45
        deny_at: null
        trust_device_days: 30
        fallback: {channels: [whatsapp, sms, voice], timeout_seconds: 30}
        max_attempts: 5
        """,
    )
    assert policy == Policy(name="step-up-2026-q1")


def test_named_finds_built_in_policies_and_files(folder: Path) -> None:
    assert Policy.named("universal") == Policy.universal()
    path = FULL.save(folder / "full.yaml")
    assert Policy.named(str(path)) == FULL


@pytest.mark.parametrize("name", ["riskbased", "", "no/such/file.yaml", "x" * 5_000, "a\0b"])
def test_an_unknown_name_lists_the_known_ones(name: str) -> None:
    with pytest.raises(InputError, match="password-only, universal, risk-based or a policy file"):
        Policy.named(name)


def test_a_folder_is_no_policy(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no policy"):
        Policy.named(str(tmp_path))
    with pytest.raises(InputError, match="directory"):
        Policy.load(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.yaml: No such file"):
        Policy.load(tmp_path / "nowhere.yaml")


def test_saving_where_nothing_can_be_written_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(WorkError, match=r"gone/policy\.yaml: No such file"):
        FULL.save(tmp_path / "gone" / "policy.yaml")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_saving_on_a_full_disk_is_one_clear_line() -> None:
    with pytest.raises(WorkError, match="/dev/full: No space left"):
        FULL.save(Path("/dev/full"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    path = FULL.save(tmp_path / "secret.yaml")
    path.chmod(0)
    with pytest.raises(InputError, match="Permission denied"):
        Policy.load(path)


# Wrong content.


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "expected keys and values"),
        ("- a list", "expected keys and values"),
        ("just words", "expected keys and values"),
        ("1: number", "expected keys and values"),
        ("name: a\nchalenge_at: 0.3", "chalenge_at: unknown key"),
        ("name: a\nfallback: {channel: [sms]}", "fallback.channel: unknown key"),
        ("name: a\nlimits: {lock: 3}", "limits.lock: unknown key"),
        ("name: a\npoints: {new_phone: 0.3}", "points.new_phone: unknown key"),
        ("challenge_at: 0.3", "name: missing key"),
        ("name: ''", "name: "),
        ("name: 2026", "name: Input should be a valid string"),
        ("name: a\nscorer: magic", "scorer: "),
        ("name: a\nchallenge_at: 1.5", "challenge_at: Input should be less than or equal to 1"),
        ("name: a\nchallenge_at: -0.1", "challenge_at: "),
        ("name: a\nchallenge_at: .nan", "challenge_at: "),
        ("name: a\nchallenge_at: .inf", "challenge_at: "),
        ("name: a\nchallenge_at: no", "challenge_at: Input should be a valid number"),
        ("name: a\ndeny_at: off", "deny_at: Input should be a valid number"),
        ("name: a\nchallenge_at: high", "challenge_at: "),
        ("name: a\nchallenge_at: [0.3]", "challenge_at: "),
        ("name: a\ndeny_at: 0.4", "deny_at lies below challenge_at"),
        ("name: a\ntrust_device_days: 0", "trust_device_days: "),
        ("name: a\ntrust_device_days: 366", "trust_device_days: "),
        ("name: a\nmax_attempts: 6", "max_attempts: "),
        ("name: a\nmax_attempts: 0", "max_attempts: "),
        ("name: a\nmax_attempts: 2.5", "max_attempts: "),
        ("name: a\nfallback: {channels: []}", "fallback.channels: name at least one channel"),
        ("name: a\nfallback: {channels: [sms, sms]}", "fallback.channels: name at least one"),
        ("name: a\nfallback: {channels: [fax]}", "fallback.channels.0: "),
        ("name: a\nfallback: {channels: sms}", "fallback.channels: "),
        ("name: a\nfallback: {timeout_seconds: 1}", "fallback.timeout_seconds: "),
        ("name: a\nfallback: null", "fallback: "),
        ("name: a\nlimits: {lock_after: 101}", "limits.lock_after: "),
        ("name: a\npoints: {new_device: 2}", "points.new_device is 2"),
        ("name: a\npoints: {new_device: .nan}", "points.new_device is nan"),
        ("name: a\npoints: {1: 2}", "points.1: "),
        ("name: a\nallow_weaker_factor: perhaps", "allow_weaker_factor: "),
        ("name: a\nbad: 1\nworse: 2", "bad: unknown key (and 1 more)"),
        ('"two\\nlines": 1\nname: a', "two lines: unknown key"),
        ("name: a\nname: b", "line 2 gives a key a second time"),
        ("name: a\nlimits: {lock_after: 5, lock_after: 6}", "line 2 gives a key a second time"),
    ],
)
def test_wrong_content_is_refused_with_its_key(folder: Path, content: str, expected: str) -> None:
    assert refusal(folder, content).startswith(expected)


def levels(count: int, line: str) -> str:
    """An alias bomb: each level names the one before ten times."""
    return "a0: &a0 {x: 1}\n" + "\n".join(
        line.format(n=n, ten=",".join([f"*a{n - 1}"] * 10)) for n in range(1, count)
    )


HOSTILE = {
    "python object": "name: !!python/object/apply:os.system ['touch /tmp/owned']",
    "python name": "name: !!python/name:os.system",
    "local tag": "name: !thing 3",
    "alias": "name: &a b\ntitle: *a",
    "alias to itself": "&a [*a]",
    "alias bomb of lists": levels(30, "a{n}: &a{n} [{ten}]"),
    "alias bomb of merges": levels(30, "a{n}: &a{n} {{<<: [{ten}]}}"),
    "merge of nothing": "name: a\n<<: 3",
    "deep lists": "[" * 500_000,
    "deep maps": "{a: " * 200_000,
    "a date that is none": "name: 2026-99-99",
    "a time that is none": "name: 2026-01-01 25:61:61",
    "a number of 5,000 digits": "name: " + "9" * 5_000,
    "a number that overflows": "name: " + ":".join(["59"] * 400) + ".5",
    "half a hexadecimal": "name: 0x_",
    "no integer": "name: !!int foo",
    "no float": "name: !!float foo",
    "no boolean": "name: !!bool maybe",
    "no timestamp": "name: !!timestamp foo",
    "no base64": "name: !!binary é",
    "a list as key": "? [a]\n: b",
    "a map as key": "? {a: b}\n: b",
    "a set": "!!set {name}",
    "NUL": "name: a\n\0",
    "not UTF-8": b"name: \xff\xfe",
    "UTF-16": "name: a".encode("utf-16"),
    "two documents": "name: a\n---\nname: b",
    "tabs": "name:\n\t- a",
    "large": "name: a\n#" + " " * 1_000_000,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_are_refused_in_one_line(folder: Path, kind: str) -> None:
    assert refusal(folder, HOSTILE[kind])


def test_a_refused_tag_has_run_nothing(folder: Path, tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    refusal(folder, f"name: !!python/object/apply:pathlib.Path.touch [{trap}]")
    refusal(folder, f"name: !!python/object/apply:os.mkdir ['{trap}']")
    assert not trap.exists()


def test_a_file_cut_short_is_refused_or_a_policy_but_never_a_traceback(folder: Path) -> None:
    content = FULL.to_yaml().encode()
    assert load(folder, content) == FULL
    cuts = [policy_or_none(folder, content[:length]) for length in range(len(content))]
    assert cuts[0] is None
    assert any(cuts)


@given(st.data())
@settings(max_examples=60)
def test_a_damaged_file_is_refused_or_a_policy_but_never_a_traceback(
    folder: Path, data: st.DataObject
) -> None:
    content = bytearray(FULL.to_yaml().encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    policy_or_none(folder, bytes(content))


WORDS = st.sampled_from(
    [
        *("name", "points", "limits", "fallback", "challenge_at", "x", "1", "0.5", "null", "yes"),
        *("!!int", "!!set", "!a", "&a", "*a", "<<", "2026-01-01", "0b1", "1:2", "'", '"', "|", ">"),
        *(":", ": ", "- ", "? ", "{", "}", "[", "]", ",", "#", "%", "@", "`", "~", "\\"),
        *("\n", "\n  ", "\t"),
    ]
)


@given(st.lists(WORDS, max_size=25).map("".join) | st.text(max_size=60))
@settings(max_examples=200)
def test_any_text_is_a_mapping_or_refused(folder: Path, text: str) -> None:
    path = folder / "any.yaml"
    path.write_text(text, encoding="utf-8", newline="")
    try:
        content = read_yaml(path)
    except InputError as error:
        content = {"refused": str(error)}
        lines = str(error).splitlines()
    else:
        lines = ["read"]
    assert isinstance(content, dict)
    assert len(lines) == 1


# A scorer's model.


@pytest.mark.parametrize("scorer", ["freeman", "learned"])
def test_a_scorer_that_is_fitted_needs_its_model(folder: Path, scorer: str) -> None:
    told = refusal(folder, f"name: a\nscorer: {scorer}\n")
    assert told == f"the {scorer} scorer needs a model: name its file under model"


def test_the_rules_take_no_model(folder: Path) -> None:
    assert "leave model out" in refusal(folder, "name: a\nmodel: b.skops\n")


def test_a_model_is_found_beside_the_policy_file_wherever_that_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "models").mkdir()
    (folder / "policies").mkdir()
    monkeypatch.chdir(folder)
    policy = Policy(name="a", scorer="learned", model="models/m.skops")
    policy.save("policies/a.yaml")
    assert yaml.safe_load(Path("policies/a.yaml").read_text())["model"] == "../models/m.skops"
    monkeypatch.chdir("/")
    found = Policy.load(folder / "policies" / "a.yaml")
    assert found.model is not None
    assert Path(found.model).resolve() == (folder / "models" / "m.skops").resolve()
    assert found.model_copy(update={"model": policy.model}) == policy
