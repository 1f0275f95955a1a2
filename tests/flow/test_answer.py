"""The second step: what counts, what is refused, what a right answer is worth, and how often."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.flow.entering import (
    APP,
    SEED,
    WRONG,
    Equipped,
    argon2_calls,
    asked,
    challenge_of,
    give_recovery_codes,
    key_of,
    prefer,
    under,
)
from tests.flow.lab import HOUR, MINUTE, ORIGIN, PHONE, SECOND, Lab
from tests.flow.people import ANN, account_of, ann, another, set_columns
from twofa_lab.catalog.factors import FACTOR_FACTS, RECOVERY_FACTS
from twofa_lab.errors import InputError
from twofa_lab.factors import recovery_codes
from twofa_lab.factors.soft_authenticator import SoftAuthenticator
from twofa_lab.factors.typed import digits_of
from twofa_lab.flow.answer import another_factor, answer, leave
from twofa_lab.flow.codes_due import advance, resend
from twofa_lab.flow.own_factors import list_factors
from twofa_lab.flow.sessions import check
from twofa_lab.flow.step import Step, Ticket
from twofa_lab.risk.policy import Policy
from twofa_lab.store.authenticators import authenticators_of
from twofa_lab.store.engine import read

STEP = 30 * SECOND


@pytest.fixture
def app_only(lab: Lab) -> Lab:
    """Ann with an authenticator app, asked at every login."""
    ann(lab, totp=SEED, otp=False)
    return under(lab)


def left(step: Step) -> int:
    return asked(step)[1].left


# -- counting --------------------------------------------------------------------------------------


def test_five_attempts_a_challenge(both: Lab) -> None:
    """The right code after five wrong ones is too late; after four it is not."""
    lab = both
    ann(lab)
    ticket, page = asked(lab.strange_login())
    code = lab.code(PHONE)
    assert page.left == 5
    steps = [answer(lab.flow, ticket, another(code)) for _ in range(5)]
    assert [left(step) for step in steps[:4]] == [4, 3, 2, 1]
    assert (steps[4].status, steps[4].record.outcome) == ("refused", "failed")
    assert answer(lab.flow, ticket, code).status == "refused"
    ticket, _ = asked(lab.strange_login())
    code = lab.code(PHONE)
    for _ in range(4):
        answer(lab.flow, ticket, another(code))
    assert answer(lab.flow, ticket, code).status == "signed_in"


def test_neither_a_resend_nor_a_new_session_gives_attempts_back(lab: Lab) -> None:
    """NIST SP 800-63B-4 3.1.3.2: a new code does not reset the failures."""
    ann(lab)
    ticket, _ = asked(lab.strange_login())
    answer(lab.flow, ticket, WRONG)
    lab.wait(90 * SECOND)
    assert left(resend(lab.flow, ticket)) == 4
    assert left(answer(lab.flow, ticket, WRONG)) == 3
    assert account_of(lab).factor_failures == 2
    other, _ = asked(lab.strange_login())
    assert left(answer(lab.flow, other, WRONG)) == 4
    assert account_of(lab).factor_failures == 3
    assert left(resend(lab.flow, ticket)) == 3, "and the other session's are its own"


def test_a_resend_keeps_code_and_expiry(lab: Lab) -> None:
    ann(lab)
    lab.reachable(PHONE, {"sms": 20})
    lab.carrier.script(lab.reachable(PHONE), {"sms": 20}, resend_ds=20)
    ticket, _ = asked(lab.strange_login())
    before, code = challenge_of(lab, ticket), lab.code(PHONE)
    lab.wait(90 * SECOND)
    resend(lab.flow, ticket)
    after = challenge_of(lab, ticket)
    assert lab.code(PHONE) == code
    assert (after.expires, after.expected) == (before.expires, before.expected)


def test_codes_wait_before_anything_is_locked(app_only: Lab) -> None:
    """ASVS 6.1.1, 6.3.1: ten failures over two challenges, then 30 s, doubling to an hour; a lock
    only at a hundred, and that for good (NIST SP 800-63B-4 3.2.2)."""
    lab = app_only
    waits, wrong = [], 0
    while (step := lab.login()).status != "refused":
        if step.status == "wait":
            waits.append((step.retry_ms or 0) - lab.now)
            lab.time[0] = step.retry_ms or 0
            continue
        ticket, _ = asked(step)
        while step.status == "asked":
            step = answer(lab.flow, ticket, WRONG)
            wrong += 1
    assert wrong == account_of(lab).factor_failures == 100
    assert waits[:8] == [STEP << n for n in range(7)] + [HOUR]
    assert set(waits[8:]) == {HOUR}
    assert len(waits) == 90, "one code each, once codes wait"
    assert step.record.outcome == "locked"
    lab.wait(1_000 * HOUR)
    assert lab.login().record.outcome == "locked", "time opens no lock"
    assert len(lab.notices("locked")) >= 1


def test_an_open_challenge_takes_no_answer_while_codes_wait(app_only: Lab) -> None:
    lab = app_only
    parked, _ = asked(lab.login())
    for _ in range(2):
        ticket, _ = asked(lab.login())
        for _ in range(5):
            answer(lab.flow, ticket, WRONG)
    step = answer(lab.flow, parked, lab.shown(APP))
    assert (step.status, step.record.outcome) == ("refused", "failed")
    assert account_of(lab).factor_failures == 10, "what is refused is not counted"


def test_a_locked_account_takes_no_answer(app_only: Lab) -> None:
    lab = app_only
    ticket, _ = asked(lab.login())
    set_columns(lab, status="locked")
    step = answer(lab.flow, ticket, lab.shown(APP))
    assert (step.status, step.record.outcome) == ("refused", "locked")


def test_a_stopped_authenticator_takes_no_answer(app_only: Lab) -> None:
    """NIST SP 800-63B-4 3.2.2: at 100 consecutive failures of its own it is disabled."""
    lab = app_only
    with lab.flow.engine.begin() as c:
        c.exec_driver_sql("update authenticators set consecutive_failures = 99")
    ticket, _ = asked(lab.login())
    answer(lab.flow, ticket, WRONG)
    with read(lab.flow.engine) as c:
        (app,) = [one for one in authenticators_of(c, ANN) if one.kind == "totp"]
    assert (app.usable, app.disabled_at) == (False, lab.now)
    assert answer(lab.flow, ticket, lab.shown(APP)).status == "refused"
    assert lab.login().record.outcome == "abandoned", "nothing is left to ask for"


def test_only_a_verified_factor_forgives(app_only: Lab) -> None:
    lab = app_only
    ticket, _ = asked(lab.login())
    for _ in range(3):
        answer(lab.flow, ticket, WRONG)
    leave(lab.flow, ticket)
    assert account_of(lab).factor_failures == 3
    ticket, _ = asked(lab.login())
    assert answer(lab.flow, ticket, lab.shown(APP)).status == "signed_in"
    assert account_of(lab).factor_failures == 0


@given(st.text(max_size=20))
def test_what_can_be_no_answer_is_handed_back_uncounted(fresh: Any, typed: str) -> None:
    """Six digits or a recovery code count; any other text costs nothing and ends nothing."""
    lab: Lab = fresh()
    ann(lab)
    ticket, _ = asked(lab.strange_login())
    counts = digits_of(typed, 6) is not None or recovery_codes.parse(typed) is not None
    answer(lab.flow, ticket, typed)
    assert challenge_of(lab, ticket).attempts == int(counts)
    assert account_of(lab).factor_failures == int(counts)


@pytest.mark.parametrize("typed", ["", " ", "12345", "1234567", "12345a", "{}", "x" * 100_000])
def test_malformed_text_leaves_the_challenge_as_it_was(app_only: Lab, typed: str) -> None:
    lab = app_only
    ticket, _ = asked(lab.login())
    assert left(answer(lab.flow, ticket, typed)) == 5
    assert lab.events("attempt") == []
    assert answer(lab.flow, ticket, lab.shown(APP)).status == "signed_in"


# -- whose, when, once -----------------------------------------------------------------------------


def test_a_challenge_is_answered_by_the_request_that_opened_it_only(both: Lab) -> None:
    """ASVS 6.6.2: the challenge's id and the right code are not enough."""
    lab = both
    ann(lab)
    ticket, _ = asked(lab.strange_login())
    code = lab.code(PHONE)
    for forged in (ticket._replace(secret=lab.flow.token()), Ticket("never", ticket.secret)):
        assert answer(lab.flow, forged, code).status == "refused"
        assert leave(lab.flow, forged).status == "refused"
        assert another_factor(lab.flow, forged).status == "refused"
        assert resend(lab.flow, forged).status == "refused"
    assert challenge_of(lab, ticket).attempts == 0
    assert answer(lab.flow, ticket, code).status == "signed_in"


def test_a_code_is_good_for_its_own_challenge_only(lab: Lab) -> None:
    ann(lab)
    first, _ = asked(lab.strange_login())
    code = lab.code(PHONE)
    second, _ = asked(lab.strange_login())
    assert lab.code(PHONE) != code
    assert answer(lab.flow, second, code).status == "asked"
    assert answer(lab.flow, first, code).status == "signed_in"


def test_a_code_is_accepted_once(both: Lab) -> None:
    """ASVS 6.5.1."""
    lab = both
    ann(lab)
    ticket, _ = asked(lab.strange_login())
    code = lab.code(PHONE)
    done = answer(lab.flow, ticket, code)
    assert done.status == "signed_in"
    again = answer(lab.flow, ticket, code)
    assert (again.status, again.session, again.record.outcome) == ("refused", None, None)
    assert account_of(lab).factor_failures == 0


@pytest.mark.parametrize("text", ["", "x", ".", "a.", ".b", "a." + "b" * 200])
def test_what_is_no_ticket(text: str) -> None:
    with pytest.raises(InputError, match="no ticket"):
        Ticket.read(text)


def test_a_ticket_as_the_page_carries_it(lab: Lab) -> None:
    ann(lab)
    ticket, _ = asked(lab.strange_login())
    assert Ticket.read(ticket.text) == ticket
    assert ticket.secret not in repr(ticket)


@pytest.mark.parametrize(("late", "status"), [(0, "signed_in"), (1, "refused")])
def test_a_code_lives_ten_minutes_to_the_millisecond(both: Lab, late: int, status: str) -> None:
    """NIST SP 800-63B-4 3.1.3.2, ASVS 6.5.5."""
    lab = both
    ann(lab)
    ticket, _ = asked(lab.strange_login())
    shown, code = lab.now, lab.code(PHONE)
    lab.time[0] = shown + 10 * MINUTE + late
    assert answer(lab.flow, ticket, code).status == status


@pytest.mark.parametrize(("back", "let_in"), [(90 * SECOND, True), (91 * SECOND, False)])
@pytest.mark.parametrize("factor", ["otp", "push", "passkey", "hardware_key"])
def test_a_clock_that_steps_back_lengthens_no_life(
    lab: Lab, factor: str, back: int, let_in: bool
) -> None:
    """90 s are forgiven, for two servers differ; past that what is of the future is void."""
    mine = Equipped.of(lab)
    prefer(lab, factor)
    ticket, page = asked(under(lab).login())
    assert page.factor == factor
    opened = lab.now
    typed = mine.typed(ticket, page) if factor != "push" else ""
    lab.time[0] = opened - back
    if factor == "push":
        typed = mine.typed(ticket, page)
    step = answer(under(lab).flow, ticket, typed)
    assert (step.status == "signed_in") == let_in


def test_a_clock_that_steps_back_reopens_no_app_code(app_only: Lab) -> None:
    lab = app_only
    ticket, _ = asked(lab.login())
    code, at = lab.shown(APP), lab.now
    assert answer(lab.flow, ticket, code).status == "signed_in"
    for back in (0, STEP, 2 * STEP, 10 * STEP):
        lab.time[0] = at - back
        ticket, _ = asked(lab.login())
        for typed in {code, lab.shown(APP)}:
            assert answer(lab.flow, ticket, typed).status == "asked"
        leave(lab.flow, ticket)
    lab.time[0] = at + STEP
    ticket, _ = asked(lab.login())
    assert answer(lab.flow, ticket, lab.shown(APP)).status == "signed_in"


# -- the app ---------------------------------------------------------------------------------------


def test_an_app_code_at_0_31_and_61_seconds_lets_in_once(both: Lab) -> None:
    """ASVS 6.5.1: the window of one step to either side is no second use."""
    lab = under(both)
    ann(lab, totp=SEED)
    lab.time[0] -= lab.now % STEP
    code, start, won = lab.shown(APP), lab.now, []
    for after in (0, 31 * SECOND, 61 * SECOND):
        lab.time[0] = start + after
        ticket, page = asked(lab.login())
        assert page.factor == "totp"
        won.append(answer(lab.flow, ticket, code).status)
        leave(lab.flow, ticket)
    assert won == ["signed_in", "asked", "asked"]


@pytest.mark.parametrize(
    ("off", "status"), [(-2, "asked"), (-1, "signed_in"), (0, "signed_in"), (1, "signed_in"),
                        (2, "asked")],
)  # fmt: skip
def test_an_app_may_be_one_step_off(app_only: Lab, off: int, status: str) -> None:
    lab = app_only
    ticket, _ = asked(lab.login())
    code = APP.at((lab.now + off * STEP) // 1000)
    assert answer(lab.flow, ticket, code).status == status


def test_a_later_step_burns_the_earlier_ones(app_only: Lab) -> None:
    lab = app_only
    early, late = lab.shown(APP), APP.at((lab.now + STEP) // 1000)
    ticket, _ = asked(lab.login())
    assert answer(lab.flow, ticket, late).status == "signed_in"
    ticket, _ = asked(lab.login())
    assert answer(lab.flow, ticket, early).status == "asked"


# -- keys ------------------------------------------------------------------------------------------


def with_key(lab: Lab, device: SoftAuthenticator) -> Lab:
    ann(lab, otp=False, keys=(key_of(lab, device),))
    return under(lab)


def enter(lab: Lab, device: SoftAuthenticator) -> Step:
    ticket, page = asked(lab.login())
    return answer(lab.flow, ticket, device.authenticate(page.options, ORIGIN))


def test_a_cloned_device_bound_key_is_refused(both: Lab) -> None:
    """The counter goes back: one of the two is a copy."""
    device = SoftAuthenticator()
    lab = with_key(both, device)
    twin = device.clone()
    assert enter(lab, device).status == "signed_in"
    assert enter(lab, device).status == "signed_in"
    assert enter(lab, twin).status == "asked"
    assert account_of(lab).factor_failures == 1
    assert enter(lab, device).status == "signed_in"


def test_a_synced_key_has_no_counter_to_go_back(lab: Lab) -> None:
    """NIST SP 800-63B-4 B: synced keys are acceptable, and told from device-bound ones."""
    device = SoftAuthenticator(synced=True)
    lab = with_key(lab, device)
    assert enter(lab, device).status == "signed_in"
    assert enter(lab, device.clone()).status == "signed_in"
    with read(lab.flow.engine) as c:
        (key,) = authenticators_of(c, ANN)
    assert (key.backup_eligible, key.backup_state, key.sign_count) == (True, True, 0)


def test_a_key_answers_its_own_challenge_once(lab: Lab) -> None:
    device = SoftAuthenticator(synced=True)
    lab = with_key(lab, device)
    first, page = asked(lab.login())
    response = device.authenticate(page.options, ORIGIN)
    second, _ = asked(lab.login())
    assert answer(lab.flow, second, response).status == "asked"
    assert answer(lab.flow, first, response).status == "signed_in"
    assert answer(lab.flow, first, response).status == "refused"


def test_a_key_of_somebody_else_is_no_answer(lab: Lab) -> None:
    mine, theirs = SoftAuthenticator(), SoftAuthenticator()
    ann(lab, otp=False, keys=(key_of(lab, mine),))
    other = key_of(lab, theirs, user_id=6)
    ann(lab, user_id=6, name="bob", phone="+447400123457", keys=(other,), otp=False)
    lab = under(lab)
    ticket, page = asked(lab.login())
    _, bobs = asked(lab.login("bob"))
    stolen = theirs.authenticate(page.options.replace(_id(page.options), _id(bobs.options)), ORIGIN)
    assert answer(lab.flow, ticket, stolen).status == "asked"
    assert account_of(lab).factor_failures == 1


def _id(options: str) -> str:
    found: str = json.loads(options)["allowCredentials"][0]["id"]
    return found


def test_a_page_of_another_host_gets_no_answer_that_counts(lab: Lab) -> None:
    """Phishing-resistant: NIST SP 800-63B-4 2.2.2, 3.2.5."""
    device = SoftAuthenticator()
    lab = with_key(lab, device)
    ticket, page = asked(lab.login())
    relayed = device.authenticate(page.options, "https://examp1e.com", check_origin=False)
    assert answer(lab.flow, ticket, relayed).status == "asked"


@pytest.mark.parametrize("typed", ["{", "{}", '{"id": 1}', "[]", '{"id":"AA","rawId":"AA"}'])
def test_what_is_no_webauthn_answer_lets_nobody_in(lab: Lab, typed: str) -> None:
    lab = with_key(lab, SoftAuthenticator())
    ticket, _ = asked(lab.login())
    assert answer(lab.flow, ticket, typed).status == "asked"


# -- recovery codes --------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", ["otp", "totp", "push", "passkey", "hardware_key"])
def test_a_recovery_code_stands_in_for_any_factor_once(lab: Lab, factor: str) -> None:
    Equipped.of(lab)
    codes = give_recovery_codes(lab)
    prefer(lab, factor)
    ticket, page = asked(under(lab).login())
    assert page.factor == factor
    step = answer(under(lab).flow, ticket, codes[0].lower().replace("-", " "))
    assert (step.status, step.record.factor, step.session_level) == (
        "signed_in",
        "recovery_code",
        2,
    )
    ticket, _ = asked(under(lab).login())
    assert answer(under(lab).flow, ticket, codes[0]).status == "asked", "spent"
    assert answer(under(lab).flow, ticket, codes[1]).status == "signed_in"


def test_one_hash_whatever_recovery_code_is_typed(
    app_only: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right, wrong behind a known prefix, unknown prefix, spent, or no codes at all."""
    lab = app_only
    codes = give_recovery_codes(lab)
    wrong = codes[0][:4] + "-0000-0000-0000"
    prefixes = {code[:4] for code in codes}
    unknown = next(p for p in ("0000", "1111", "2222") if p not in prefixes)
    ticket, _ = asked(lab.login())
    other, _ = asked(lab.login())
    tries = [(ticket, wrong), (ticket, unknown + codes[0][4:]), (ticket, codes[0])]
    counted = []
    for which, typed in [*tries, (other, codes[0])]:
        with argon2_calls(monkeypatch) as calls:
            answer(lab.flow, which, typed)
        counted.append(len(calls))
    assert counted == [1, 1, 1, 1]
    ann(lab, user_id=6, name="bob", phone="+447400123457", totp=SEED, otp=False)
    ticket, _ = asked(lab.login("bob"))
    with argon2_calls(monkeypatch) as calls:
        step = answer(lab.flow, ticket, codes[1])
    assert (step.status, calls) == ("asked", ["hash"])


def test_guessed_recovery_codes_count_as_any_wrong_answer(app_only: Lab) -> None:
    """NIST SP 800-63B-4 3.1.2: look-up secrets are throttled."""
    lab = app_only
    codes = give_recovery_codes(lab)
    ticket, _ = asked(lab.login())
    steps = [answer(lab.flow, ticket, "0" * 16) for _ in range(5)]
    assert [step.status for step in steps] == ["asked"] * 4 + ["refused"]
    assert answer(lab.flow, ticket, codes[0]).status == "refused"
    assert account_of(lab).factor_failures == 5


def test_few_recovery_codes_left_are_told(app_only: Lab) -> None:
    lab = app_only
    codes, low = give_recovery_codes(lab), []
    for code in codes[:7]:
        ticket, _ = asked(lab.login())
        step = answer(lab.flow, ticket, code)
        assert step.session is not None
        mine = list_factors(lab.flow, step.session)
        low.append((mine.recovery_codes_left, mine.codes_low))
    assert low == [(9 - n, n == 6) for n in range(7)]


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
