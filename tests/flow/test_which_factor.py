"""Which factor is asked for, what it is worth, and that more channels never lower delivery."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.flow.entering import (
    SEED,
    WRONG,
    Equipped,
    asked,
    give_recovery_codes,
    prefer,
    under,
)
from tests.flow.lab import PHONE, SECOND, Lab
from tests.flow.people import ANN, account_of, ann, set_columns
from twofa_lab.catalog.factors import FACTOR_FACTS, RECOVERY_FACTS
from twofa_lab.flow.answer import another_factor, answer, leave
from twofa_lab.flow.codes_due import advance
from twofa_lab.flow.enrolment import begin_totp
from twofa_lab.flow.sessions import check
from twofa_lab.flow.step import Step
from twofa_lab.risk.policy import Policy
from twofa_lab.store import authenticators
from twofa_lab.store.engine import write


@pytest.fixture
def app_only(lab: Lab) -> Lab:
    """Ann with an authenticator app, asked at every login."""
    ann(lab, totp=SEED, otp=False)
    return under(lab)


def left(step: Step) -> int:
    return asked(step)[1].left


# -- which factor ----------------------------------------------------------------------------------

STRONGEST_FIRST = ["hardware_key", "passkey", "push", "totp", "otp"]


def test_the_strongest_first_and_others_on_offer(lab: Lab) -> None:
    Equipped.of(lab)
    page = asked(under(lab).login())[1]
    assert [page.factor, *page.others] == STRONGEST_FIRST


@pytest.mark.parametrize("factor", STRONGEST_FIRST)
def test_a_persons_preference_comes_first_where_weaker_ones_are_allowed(
    lab: Lab, factor: str
) -> None:
    Equipped.of(lab)
    prefer(lab, factor)
    page = asked(under(lab).login())[1]
    rest = [kind for kind in STRONGEST_FIRST if kind != factor]
    assert [page.factor, *page.others] == [factor, *rest]
    strict = asked(under(lab, allow_weaker_factor=False).login())[1]
    assert (strict.factor, strict.others) == ("hardware_key", ())


def test_one_factor_after_another_until_none_is_left(lab: Lab) -> None:
    Equipped.of(lab)
    lab = under(lab)
    step, seen = lab.login(), []
    while step.status == "asked":
        ticket, page = asked(step)
        seen.append(page.factor)
        step = another_factor(lab.flow, ticket)
        assert answer(lab.flow, ticket, WRONG).status == "refused", "the former one is over"
    assert seen == STRONGEST_FIRST
    assert step.record.outcome == "abandoned"


def test_a_factor_by_name(lab: Lab) -> None:
    mine = Equipped.of(lab)
    lab = under(lab)
    ticket, _ = asked(lab.login())
    ticket, page = asked(another_factor(lab.flow, ticket, "totp"))
    assert page.factor == "totp"
    assert answer(lab.flow, ticket, mine.typed(ticket, page)).record.factor == "totp"


def test_no_weaker_factor_where_the_policy_allows_none(lab: Lab) -> None:
    Equipped.of(lab)
    lab = under(lab, allow_weaker_factor=False)
    ticket, page = asked(lab.login())
    assert (page.factor, page.others) == ("hardware_key", ())
    step = another_factor(lab.flow, ticket, "otp")
    assert (step.status, step.session) == ("refused", None)
    assert lab.exchange.messages_sent == 0


def test_changing_the_factor_gives_no_account_wide_attempts_back(lab: Lab) -> None:
    Equipped.of(lab)
    lab = under(lab)
    prefer(lab, "totp")
    ticket, _ = asked(lab.login())
    for _ in range(4):
        answer(lab.flow, ticket, WRONG)
    ticket, _ = asked(another_factor(lab.flow, ticket, "otp"))
    steps = [answer(lab.flow, ticket, WRONG) for _ in range(5)]
    assert steps[-1].record.attempts == 9
    assert account_of(lab).factor_failures == 9


def test_no_other_factor_is_asked_for_while_codes_wait(lab: Lab) -> None:
    """Nothing is sent then, not by this way either."""
    Equipped.of(lab)
    lab = under(lab)
    prefer(lab, "totp")
    ticket, _ = asked(lab.login())
    set_columns(lab, factor_wait_until=lab.now + 1)
    step = another_factor(lab.flow, ticket, "otp")
    assert (step.status, step.record.outcome) == ("refused", "rate_limited")
    assert lab.exchange.messages_sent == 0


# -- what it is worth ------------------------------------------------------------------------------


def wanted_amr(factor: str, channel: str) -> tuple[str, ...]:
    (facts,) = [f for f in FACTOR_FACTS if (f.factor, f.channel) == (factor, channel)]
    return ("pwd", *facts.amr, "mfa")


@pytest.mark.parametrize("factor", STRONGEST_FIRST[:4])
def test_level_and_methods_are_the_catalogues(lab: Lab, factor: str) -> None:
    mine = Equipped.of(lab)
    prefer(lab, factor)
    lab = under(lab)
    ticket, page = asked(lab.login())
    step = answer(lab.flow, ticket, mine.typed(ticket, page))
    assert step.session is not None
    state = check(lab.flow, step.session)
    assert state is not None
    assert (state.aal, state.amr) == (2, wanted_amr(factor, "none"))
    wanted = f'"aal":2,"amr":"{" ".join(state.amr)}"'
    assert wanted in lab.events("session")[-1][1]


@pytest.mark.parametrize("channel", ["whatsapp", "sms", "voice"])
def test_a_codes_methods_are_its_channels(lab: Lab, channel: str) -> None:
    ann(lab, whatsapp=True)
    fallback = Policy.universal().fallback.model_copy(update={"channels": (channel,)})
    lab = under(lab, fallback=fallback)
    ticket, _ = asked(lab.login())
    step = answer(lab.flow, ticket, lab.code(PHONE, 10 * SECOND))
    assert step.session is not None
    state = check(lab.flow, step.session)
    assert state is not None
    assert (state.aal, state.amr) == (2, wanted_amr("otp", channel))


def test_a_recovery_codes_methods_are_the_catalogues(app_only: Lab) -> None:
    lab = app_only
    (code, *_) = give_recovery_codes(lab)
    ticket, _ = asked(lab.login())
    step = answer(lab.flow, ticket, code)
    assert step.session is not None
    state = check(lab.flow, step.session)
    assert state is not None
    (facts,) = [f for f in RECOVERY_FACTS if f.name == "recovery_codes"]
    assert (state.aal, state.amr) == (facts.aal, ("pwd", *facts.amr, "mfa"))


# -- functional ------------------------------------------------------------------------------------

delays = st.dictionaries(
    st.sampled_from(["whatsapp", "sms", "voice"]), st.one_of(st.none(), st.integers(1, 1_500))
)


@given(
    delays_ds=delays,
    patience=st.integers(1, 1_200),
    order=st.permutations(["whatsapp", "sms", "voice"]),
)
def test_more_fallback_channels_never_lower_delivery(
    fresh: Any, delays_ds: dict[str, int | None], patience: int, order: list[str]
) -> None:
    """Through the flow: who gets in with fewer channels gets in with more, and no later."""
    arrived = []
    for count in (1, 2, 3):
        lab: Lab = fresh()
        ann(lab, whatsapp=True)
        fallback = Policy.universal().fallback.model_copy(update={"channels": tuple(order[:count])})
        arrived.append(first_code(under(lab, fallback=fallback), delays_ds, patience))
    assert all(more <= fewer for fewer, more in pairwise(arrived))


def first_code(lab: Lab, delays_ds: dict[str, int | None], patience: int) -> int:
    """When (ds) somebody that patient has a code and is let in by it; never: a large number."""
    number = lab.reachable(PHONE, delays_ds)
    start = lab.now
    ticket, page = asked(lab.login())
    waits = partial(lab.exchange.inbox, number)
    while not waits():
        due = page.next_send_ms
        arriving = [at for v in [lab.exchange.newest(number)] if v for _, _, at in v.messages if at]
        moments = [at for at in (due, *arriving) if at is not None]
        if not moments or min(moments) > start + patience * 100:
            assert leave(lab.flow, ticket).session is None
            return 1 << 30
        lab.time[0] = max(lab.now, min(moments))
        if due is not None and lab.now >= due:
            page = asked(advance(lab.flow, ticket))[1]
    assert answer(lab.flow, ticket, waits()[0].code).status == "signed_in"
    return (lab.now - start) // 100


def test_a_right_answer_is_worth_the_same_on_every_page_that_is_open(lab: Lab) -> None:
    """Two pages of one person: each has its code, and each lets in once."""
    ann(lab)
    tickets = [asked(lab.strange_login())[0] for _ in range(2)]
    lab.wait(5 * SECOND)
    codes = [message.code for message in lab.exchange.inbox(lab.reachable(PHONE))]
    for ticket, code in zip(tickets, codes, strict=True):
        assert answer(lab.flow, ticket, code).status == "signed_in"


def test_a_step_shows_no_secret(lab: Lab) -> None:
    Equipped.of(lab)
    step = under(lab).login()
    ticket, page = asked(step)
    full = replace(step, **dict.fromkeys(("session", "device_token"), "s3cret"))  # type: ignore[arg-type]
    for text in (repr(step), repr(full)):
        assert ticket.secret not in text
        assert page.options not in text
        assert "s3cret" not in text


# -- nothing enrolled yet --------------------------------------------------------------------------


def test_who_enrolled_nothing_is_asked_by_the_phone_that_sign_up_verified(both: Lab) -> None:
    both.sign_up()
    lab = under(both)
    ticket, page = asked(lab.login())
    assert (page.factor, page.others) == ("otp", ())
    assert answer(lab.flow, ticket, WRONG).status == "asked"
    done = answer(lab.flow, ticket, lab.code(PHONE))
    assert (done.status, done.session_level) == ("signed_in", 2)


def test_wrong_codes_to_that_phone_count_as_any_others(lab: Lab) -> None:
    lab.sign_up()
    lab = under(lab)
    ticket, _ = asked(lab.login())
    steps = [answer(lab.flow, ticket, WRONG).status for _ in range(5)]
    assert steps == ["asked"] * 4 + ["refused"]
    assert [detail for _, detail in lab.events("attempt")][-1].count('"left":0') == 1
    again, _ = asked(lab.login())
    assert answer(lab.flow, again, lab.code(PHONE)).status == "signed_in"


def test_a_code_is_no_way_round_factors_that_were_lost(lab: Lab) -> None:
    ann(lab, totp=SEED, otp=False)
    with write(lab.flow.engine) as c:
        for one in authenticators.authenticators_of(c, ANN):
            authenticators.disable_authenticator(c, one.id, lab.now)
    step = under(lab).login()
    assert (step.status, step.record.outcome) == ("refused", "abandoned")


def test_an_app_that_was_begun_and_never_confirmed_keeps_nobody_out(lab: Lab) -> None:
    begin_totp(lab.flow, lab.sign_up())
    assert asked(under(lab).login())[1].factor == "otp"
