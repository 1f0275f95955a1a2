"""docs/security.md says what is met, where, and what would fail if not: all of it is there.

That a test named there is collected shows where its file was collected as a whole; where it was not
(another file was asked for, or `-k`), that it stands in the source must do.
"""

from __future__ import annotations

import ast
import re
import secrets
from collections.abc import Iterator
from functools import cache
from inspect import signature
from pathlib import Path

import pytest

from twofa_lab.delivery.limits import SEND_LIMITS
from twofa_lab.factors.otp import OtpRules
from twofa_lab.factors.passkeys import RelyingParty
from twofa_lab.factors.push import PushRules
from twofa_lab.flow import sealed_request, usernameless
from twofa_lab.flow.service import Flow
from twofa_lab.risk.policy import Limits, Policy
from twofa_lab.store.schema import MAX_CONSECUTIVE_FAILURES

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")

ASVS = [
    "6.1.1",
    "6.1.3",
    "6.3.1",
    "6.3.3",
    "6.3.4",
    "6.3.5",
    "6.3.6",
    "6.3.7",
    "6.3.8",
    "6.4.1",
    "6.4.2",
    "6.4.3",
    "6.4.4",
    "6.4.5",
    "6.5.1",
    "6.5.2",
    "6.5.3",
    "6.5.4",
    "6.5.5",
    "6.5.6",
    "6.5.8",
    "6.6.1",
    "6.6.2",
    "6.6.3",
    "6.6.4",
    "6.7.2",
    "7.2.3",
    "7.2.4",
    "8.2.4",
    "11.2.4",
    "11.3.4",
    "13.3.1",
    "16.2.2",
    "16.3.1",
    "16.4.1",
    "16.4.2",
    "16.4.3",
    "16.5.2",
    "16.5.3",
]
NIST = [
    "2",
    "2.1.3",
    "2.2.3",
    "2.2.2",
    "3.1.2",
    "3.1.3.1",
    "3.1.3.2",
    "3.1.3.3",
    "3.2.9",
    "3.1.4",
    "3.1.6.2",
    "3.1.7.2",
    "3.2.2",
    "3.2.5",
    "4.1.2.1",
    "4.2.1.1",
    "4.2.1.2",
    "4.2.2.2",
    "4.2.3",
    "4.6",
    "5.1",
    "B.2",
    "B.3",
]
"""The clauses that bear on a second factor, and no fewer."""

NAMED = re.compile(r"`([\w/]+\.py)(?:::(\w+))?`")


def section(title: str) -> str:
    """The text under a heading, up to the next one."""
    found: str = TEXT.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]
    return found


def rows(title: str) -> list[list[str]]:
    """The cells of a section's table, without its head."""
    lines = [line for line in section(title).splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in cells[1:] if not row[0].startswith(":--")]


def clauses(title: str) -> list[list[str]]:
    found = rows(title)
    assert all(len(row) == 5 for row in found)
    return found


@cache
def defined(path: Path) -> dict[str, ast.AST]:
    """What a module defines by name, methods included."""
    names: dict[str, ast.AST] = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names[node.name] = node
        elif isinstance(node, ast.Assign):
            names |= {target.id: node for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names[node.target.id] = node
    return names


def named(text: str) -> list[tuple[str, str]]:
    return [(match[1], match[2] or "") for match in NAMED.finditer(text)]


TESTS = sorted({(path, name) for path, name in named(TEXT) if name.startswith("test_")})
CODE = sorted({(path, name) for path, name in named(TEXT) if not name.startswith("test_")})


@pytest.mark.parametrize(
    ("title", "wanted"), [("OWASP ASVS 5.0", ASVS), ("NIST SP 800-63B-4", NIST)]
)
def test_every_clause_has_its_row(title: str, wanted: list[str]) -> None:
    """Met, half met or not met; code and tests where it is, what is missing where it is not."""
    found = [clause for row in clauses(title) for clause in row[0].split(", ")]
    assert found == wanted
    for clause, _asks, state, code, tests in clauses(title):
        kind, _, why = state.partition(":")
        assert re.match(r"met\b|half met$|not met$", kind), clause
        assert why or kind.startswith("met"), f"{clause} does not say what is missing"
        if kind != "not met":
            assert named(code), clause
            assert all(name.startswith("test_") for _, name in named(tests)), clause
            assert named(tests), clause


@pytest.mark.parametrize(("path", "name"), CODE)
def test_the_code_named_is_there(path: str, name: str) -> None:
    file = ROOT / "tests" / path if path.startswith("test_") else ROOT / "twofa_lab" / path
    if path.startswith("tests/"):
        file = ROOT / path
    assert file.exists()
    assert not name or name in defined(file)


@pytest.mark.parametrize(("path", "name"), TESTS)
def test_the_tests_named_run(path: str, name: str, request: pytest.FixtureRequest) -> None:
    file = ROOT / "tests" / path
    assert file.exists()
    node = defined(file).get(name)
    assert isinstance(node, ast.FunctionDef), f"{path} has no {name}"
    marks = [ast.unparse(mark) for mark in node.decorator_list]
    module = defined(file).get("pytestmark")
    marks += [] if module is None else [ast.unparse(module)]
    assert not any(re.search(r"mark\.(skip\b|xfail)", mark) for mark in marks)
    options = request.config.option
    picked = options.keyword or options.markexpr or any("::" in a for a in request.config.args)
    there = [item for item in request.session.items if Path(item.path) == file]
    if there and not picked:
        assert any(getattr(item, "originalname", "") == name for item in there)


def test_the_limits_are_the_codes() -> None:
    """ASVS 6.1.1: every number of the section is the one the code obeys."""
    waits, otp, push = Limits(), OtpRules(), PushRules()
    sends = [f"{limit.count} in {limit.window_seconds:,} s" for limit in SEND_LIMITS]
    life = RelyingParty("example.com", "Example", ("https://example.com",)).life_seconds
    assert waits.lock_after == MAX_CONSECUTIVE_FAILURES
    assert Policy.risk_based().max_attempts == otp.max_attempts
    said = {row[0]: row[1] for row in rows("Limits")}
    wanted = [
        f"{otp.max_attempts}",
        f"from {waits.throttle_after} on a wait of {waits.first_wait_seconds:.0f} s, doubling to "
        f"{waits.longest_wait_seconds:,.0f} s, one code each; locked at {waits.lock_after}",
        f"from {waits.throttle_after} on the same waits; never a lock",
        f"disabled at {MAX_CONSECUTIVE_FAILURES}",
        f"{otp.life_seconds} s",
        f"{push.life_seconds} s; {life} s",
        f"{push.max_in_window} in {push.window_seconds} s, {push.max_since_success} without a "
        f"success; none for {push.denial_window_seconds:,} s after {push.max_denials} denials",
        f"to a number {sends[0]} and {sends[1]}; from an address {sends[2]}; "
        f"to a prefix {sends[3]}",
        f"{otp.max_attempts}, and the account's waits by name",
        f"{sealed_request.MAILS_A_DAY}, of which {sealed_request.MAILS_A_NETWORK} from one network",
        f"{usernameless.TRIES_AN_HOUR}",
    ]
    assert list(said.values()) == wanted


def calls(module: Path) -> Iterator[tuple[str, str]]:
    """Every function of a module with the name of what it calls."""
    for function in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(function, ast.FunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Call):
                    yield function.name, ast.unparse(node.func).rpartition(".")[2]


def test_there_is_no_other_way_in() -> None:
    """ASVS 6.1.3, 6.3.4: who starts or raises a session stands in *Ways in*, through whom calls it.

    A way added without being written down fails here.
    """
    flow = ROOT / "twofa_lab"
    makers = {"add_session", "raise_session", "open_session", "raise_level", "complete"}
    found = {
        f"{path.relative_to(flow)}::{caller}"
        for path in flow.rglob("*.py")
        for caller, called in calls(path)
        if called in makers
    }
    known = {
        "flow/sessions.py::open_session": "",
        "flow/sessions.py::raise_level": "",
        "flow/finish.py::complete": "",
        "flow/login.py::_allow": "flow/login.py::begin",
        "flow/answer.py::_let_in": "flow/answer.py::answer",
        "flow/usernameless.py::_enter": "flow/usernameless.py::finish_passkey_login",
        "flow/step_up.py::_raise": "flow/step_up.py::answer_step_up",
        "flow/sign_up.py::_activated": "flow/sign_up.py::verify_phone",
        "flow/recovery.py::finish_recovery": "flow/recovery.py::finish_recovery",
    }
    assert found == set(known)
    ways = section("Ways in")
    assert all(f"`{way}`" in ways for way in known.values() if way)


SECRET = re.compile(r"hash|digest|proof|signature|secret|token|expected|binding|code\b|mac\b", re.I)

NO_SECRET_COMPARED = {
    "account.password_hash != stored": "two reads of one row: was it changed in between?",
    "data[:32] == hashlib.sha256(rp_id.encode()).digest()": "the site's own name, which all know",
}


def test_nothing_secret_is_compared_by_equality() -> None:
    """ASVS 11.2.4: what was typed meets what is kept in `hmac.compare_digest`, or in a look-up
    by keyed hash, where time says nothing.
    """
    found = set()
    for room in ("flow", "factors"):
        for path in (ROOT / "twofa_lab" / room).glob("*.py"):
            if path.name == "soft_authenticator.py":  # the person's device, not the server
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Compare):
                    continue
                equal = any(isinstance(op, (ast.Eq, ast.NotEq)) for op in node.ops)
                sides = [node.left, *node.comparators]
                literal = any(isinstance(side, ast.Constant) for side in sides)
                if equal and not literal and any(SECRET.search(ast.unparse(s)) for s in sides):
                    found.add(ast.unparse(node))
    assert found == set(NO_SECRET_COMPARED)


def test_the_services_randomness_is_the_systems() -> None:
    """ASVS 6.5.3: unless a simulation hands in its own."""
    given = signature(Flow).parameters
    assert given["random_bytes"].default is secrets.token_bytes
    assert given["randbelow"].default is secrets.randbelow
