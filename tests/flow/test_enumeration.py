"""What a stranger can ask about a name: the same answer, work and beat for every name.

How long it takes is measured by `benchmarks/bench_enumeration.py`; here the work is counted.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple

import pytest
from sqlalchemy import func, select

from tests.flow.entering import WRONG, CountingPasswords, argon2_calls
from tests.flow.lab import MINUTE, PASSWORD, Lab
from tests.flow.people import ann, give_saved_code, set_columns, shape
from twofa_lab.flow.beat import Beat
from twofa_lab.flow.password_reset import begin_reset, finish_reset
from twofa_lab.flow.recovery import ask_second_proof, begin_recovery, finish_recovery, prove
from twofa_lab.flow.sealed_request import Reply
from twofa_lab.flow.service import Flow
from twofa_lab.flow.step import Step
from twofa_lab.risk.policy import Policy
from twofa_lab.store.engine import read
from twofa_lab.store.schema import metadata, recovery_codes

NAMES = ("unknown", "not enrolled", "enrolled", "closed", "locked")
BAD = "a wrong horse"
Act = Callable[[Lab, str], object]


def prepared(lab: Lab, state: str) -> str:
    """Bring Ann's account into a state; the name to ask about."""
    if state == "unknown":
        return "bob"  # as long as the other name, which the sealed request holds
    ann(lab, **({} if state == "enrolled" else {"otp": False}))
    if state == "enrolled":
        give_saved_code(lab)
    if state in {"closed", "locked"}:
        set_columns(lab, status=state)
    return "ann"


def _login(lab: Lab, name: str) -> object:
    return lab.login(name, password=BAD)


def _waiting(lab: Lab, name: str) -> object:
    for _ in range(10):
        lab.login(name, password=BAD)
    return lab.login(name, password=BAD)


def _reset(lab: Lab, name: str) -> object:
    return begin_reset(lab.flow, name)


def _reset_with_a_wrong_code(lab: Lab, name: str) -> object:
    return finish_reset(lab.flow, begin_reset(lab.flow, name), WRONG, PASSWORD + "!")


def _recovery(lab: Lab, name: str) -> object:
    return begin_recovery(lab.flow, name)


def _saved_code(lab: Lab, name: str) -> object:
    """With a true prefix where there is one, so that there is a hash to compare with."""
    with read(lab.flow.engine) as c:
        prefix = c.execute(select(recovery_codes.c.prefix)).scalar() or "AAAA"
    typed = f"{prefix}-BBBB-CCCC-DDDD-EEEE-FFFF"
    return prove(lab.flow, begin_recovery(lab.flow, name), "saved", typed)


def _emailed_code(lab: Lab, name: str) -> object:
    return prove(lab.flow, begin_recovery(lab.flow, name), "email", WRONG)


def _second_proof_first(lab: Lab, name: str) -> object:
    return ask_second_proof(lab.flow, begin_recovery(lab.flow, name), "phone")


def _end_of_recovery_first(lab: Lab, name: str) -> object:
    return finish_recovery(lab.flow, begin_recovery(lab.flow, name), PASSWORD + "!").reply


ACTS: dict[str, Act] = {
    act.__name__.removeprefix("_"): act
    for act in (
        _login, _waiting, _reset, _reset_with_a_wrong_code, _recovery, _saved_code, _emailed_code,
        _second_proof_first, _end_of_recovery_first,
    )
}  # fmt: skip


class Cost(NamedTuple):
    """Of one act: SQL statements, rows more in all tables, slow hashes, length of the
    answer."""

    statements: int
    rows: int
    hashes: int
    answer: int


def body(answer: object) -> str:
    """What the page sends back, and thus its length."""
    if isinstance(answer, Step | Reply):
        return json.dumps(answer.public())
    assert isinstance(answer, str)
    return answer


def rows(lab: Lab) -> int:
    with read(lab.flow.engine) as c:
        counts = (select(func.count()).select_from(table) for table in metadata.sorted_tables)
        return sum(c.execute(count).scalar_one() for count in counts)


def cost(lab: Lab, act: Act, name: str) -> tuple[Cost, str]:
    passwords, answers = CountingPasswords(), list[object]()
    counted = lab.with_rules(passwords=passwords)
    before = rows(lab)
    with pytest.MonkeyPatch.context() as patched, argon2_calls(patched) as calls:
        statements = shape(lab, lambda: answers.append(act(counted, name)))
    text = body(answers[0])
    hashes = passwords.hashed + len(passwords.verified) + len(calls)
    return Cost(len(statements), rows(lab) - before, hashes, len(text)), text


@pytest.mark.parametrize("act", ACTS)
def test_the_same_answer_and_work_for_every_name(fresh: Callable[[], Lab], act: str) -> None:
    """Each asked about twice: the owner of a locked account is told at the first attempt of an
    hour. Wrong passwords at a locked account are in the audit alone, which is one row less; and
    while passwords wait, a name costs up to two statements more or less each time, for where its
    waits are kept. Such are hidden by the beat."""
    seen: dict[str, tuple[Cost, str]] = {}
    for state in NAMES:
        lab = fresh()
        name = prepared(lab, state)
        cost(lab, ACTS[act], name)
        lab.wait(MINUTE)
        seen[state] = cost(lab, ACTS[act], name)
    print({state: tuple(found) for state, (found, _) in seen.items()})  # noqa: T201 - counts to see
    locked = seen["locked"][0]
    seen["locked"] = (locked._replace(rows=locked.rows + (act in {"login", "waiting"})), "")
    costs = [found for found, _ in seen.values()]
    spread = Cost(*(max(column) - min(column) for column in zip(*costs, strict=True)))
    asked = 11 if act == "waiting" else 0
    assert spread.statements <= 2 * asked
    assert spread[1:] == (0, 0, 0)
    if not isinstance(ACTS[act](lab, name), str):  # sealed requests are random to the eye
        assert len({text for _, text in seen.values() if text}) == 1, "to the byte"


class Metronome:
    """A beat that notes how long it was to sleep; its clock moves on by 0.03 at each look."""

    def __init__(self) -> None:
        self.time = 0.0
        self.slept: list[float] = []
        self.beat = Beat(0.1, self._look, self._sleep)

    def _look(self) -> float:
        self.time += 0.03
        return self.time

    def _sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))


@pytest.mark.parametrize("state", NAMES)
@pytest.mark.parametrize("act", ACTS)
def test_every_answer_to_a_name_leaves_on_the_beat(lab: Lab, act: str, state: str) -> None:
    metronome, name = Metronome(), prepared(lab, state)
    ACTS[act](lab.with_rules(beat=metronome.beat), name)
    calls = {"login": 1, "waiting": 11, "reset": 1, "recovery": 1}.get(act, 2)
    assert metronome.slept == [0.07] * calls


def test_nobody_waits_who_knows_the_password(lab: Lab) -> None:
    ann(lab)
    metronome = Metronome()
    timed = lab.with_rules(beat=metronome.beat)
    assert timed.strange_login().status == "asked"
    assert metronome.slept == []
    denying = timed.with_rules(policy=Policy(name="denies", challenge_at=0.0, deny_at=0.0))
    assert denying.login().status == "refused"
    assert metronome.slept == [0.07], "save who is denied, whose answer is a wrong password's"


@pytest.mark.parametrize(
    ("took", "slept"), [(0.0, 0.1), (0.03, 0.07), (0.1, 0.1), (0.25, 0.05), (7.01, 0.09)]
)
def test_a_beat_ends_at_its_next_whole_multiple(took: float, slept: float) -> None:
    seconds: list[float] = []
    Beat(0.1, lambda: took, seconds.append).wait(since=0.0)
    assert seconds == [pytest.approx(slept)]


def test_a_beat_of_nothing_does_not_sleep() -> None:
    Beat(0, sleep=pytest.fail).wait(since=0.0)


def test_what_ships_has_a_beat() -> None:
    assert Beat().seconds == 0.1
    assert Flow.__dataclass_fields__["beat"].default_factory is Beat
