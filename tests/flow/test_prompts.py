"""Progressive enrolment: when somebody is asked, what for, and when they are left in peace."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.flow.lab import DAY, NOW, Lab
from twofa_lab.errors import InputError
from twofa_lab.flow.binding import StepUpNeededError
from twofa_lab.flow.enrolment import add_phone
from twofa_lab.flow.offers import STRONGEST_FIRST
from twofa_lab.flow.prompts import (
    PromptFacts,
    PromptRules,
    decline_prompt,
    next_prompt,
    show_prompt,
)

RULES = PromptRules()
KINDS = st.sets(st.sampled_from(STRONGEST_FIRST))


@pytest.mark.parametrize(
    ("enrolled", "factor", "level_up"),
    [
        ((), "otp", False),
        (("otp",), "totp", True),
        (("totp",), "passkey", True),
        (("otp", "totp"), "passkey", True),
        (("push",), "passkey", True),
        (("passkey",), None, None),
        (("hardware_key",), None, None),
        (("otp", "passkey"), None, None),
    ],
)
def test_the_next_step_of_the_ladder(
    enrolled: tuple[str, ...], factor: str | None, level_up: bool | None
) -> None:
    prompt = next_prompt(PromptFacts(0), enrolled, 40 * DAY)
    if factor is None:
        assert prompt is None
    else:
        assert prompt is not None
        assert (prompt.factor, prompt.level_up) == (factor, level_up)


def test_without_a_verified_number_the_app_comes_first() -> None:
    prompt = next_prompt(PromptFacts(0, has_phone=False), (), 40 * DAY)
    assert prompt is not None
    assert (prompt.factor, prompt.level_up) == ("totp", False)


@pytest.mark.parametrize(
    ("age", "first", "level_up"),
    [
        (30 * DAY - 1, False, False),
        (30 * DAY, True, True),
        (90 * DAY, True, True),
        (90 * DAY + 1, False, True),
        (900 * DAY, False, True),
    ],
)
def test_the_first_factor_has_its_days(age: int, first: bool, level_up: bool) -> None:
    assert (next_prompt(PromptFacts(7), (), 7 + age) is not None) == first
    assert (next_prompt(PromptFacts(7), ("otp",), 7 + age) is not None) == level_up


@pytest.mark.parametrize(("declined", "days"), [(0, 7), (1, 14), (2, 28), (3, 56), (4, 112)])
def test_each_no_doubles_the_time_to_the_next(declined: int, days: int) -> None:
    facts = PromptFacts(0, prompted_at=40 * DAY, declined=declined)
    due = (40 + days) * DAY
    assert next_prompt(facts, ("otp",), due - 1) is None
    assert next_prompt(facts, ("otp",), due) is not None


def test_after_enough_nos_nobody_asks_again() -> None:
    facts = PromptFacts(0, prompted_at=40 * DAY, declined=5)
    assert next_prompt(facts, ("otp",), 4000 * DAY) is None


@given(
    st.integers(0, 400),
    st.none() | st.integers(-10, 400),
    st.integers(0, 8),
    KINDS,
    st.booleans(),
)
def test_nobody_is_asked_early_often_or_downwards(
    age: int, asked: int | None, declined: int, enrolled: set[str], has_phone: bool
) -> None:
    now = age * DAY
    facts = PromptFacts(0, None if asked is None else asked * DAY, declined, has_phone)
    prompt = next_prompt(facts, enrolled, now)
    if prompt is None:
        return
    assert age >= 30
    assert enrolled or age <= 90
    assert asked is None or age - asked >= 7
    assert declined < RULES.enough_declined
    assert prompt.level_up == bool(enrolled)
    rank = STRONGEST_FIRST.index(prompt.factor)
    assert all(rank < STRONGEST_FIRST.index(kind) for kind in enrolled)
    # another no never brings the next prompt forward
    later = next_prompt(replace(facts, declined=max(0, declined - 1)), enrolled, now)
    assert later == prompt


@pytest.mark.parametrize(
    "wrong",
    [
        {"first_day": 91},
        {"first_day": -1},
        {"every_days": 0},
        {"every_days": 200},
        {"ladder": ("otp", "hardware_key")},
    ],
)
def test_rules_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError):
        PromptRules(**wrong)  # type: ignore[arg-type]


def test_an_account_is_asked_once_a_week_and_climbs(both: Lab) -> None:
    session = both.sign_up()
    assert show_prompt(both.flow, session) is None
    seen = []
    for _ in range(90):
        both.wait(DAY)
        fresh = both.login().session
        assert fresh is not None
        prompt = show_prompt(both.flow, fresh)
        assert show_prompt(both.flow, fresh) is None
        if prompt is not None:
            seen.append(((both.now - NOW) // DAY, prompt.factor))
            if len(seen) == 2:
                decline_prompt(both.flow, fresh)
            if len(seen) == 3:
                add_phone(both.flow, fresh)
    assert seen == [(30, "otp"), (37, "otp"), (51, "otp"), (65, "totp"), (79, "totp")]


def test_only_a_running_session_is_asked(lab: Lab) -> None:
    lab.sign_up()
    lab.wait(40 * DAY)
    assert show_prompt(lab.flow, "made up") is None
    with pytest.raises(StepUpNeededError):
        decline_prompt(lab.flow, "made up")
