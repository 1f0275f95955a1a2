"""What can be said of every challenge, and what of two that differ in one thing."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from tests.replay.shards import DELAYS, OTP, POOLS
from tests.replay.test_challenge import SMS, VOICE, WHATSAPP, ask, person
from twofa_lab.replay.challenge import ABANDONED, EXPIRED, FAILED, UNDELIVERED, VERIFIED, Means
from twofa_lab.tables import FACTORS, NEVER

ANY = {name.removeprefix("po_"): st.sampled_from(sorted(set(p))) for name, p in POOLS.items()}
ANY_MEANS = st.builds(
    Means,
    **{name: values for name, values in ANY.items() if name in Means._fields},
    is_attack=st.booleans(),
    has_whatsapp=st.booleans(),
    has_text=st.booleans(),
    factors=st.sampled_from([OTP]) | st.integers(0, 127),
)
PLANS = st.permutations([WHATSAPP, SMS, VOICE]).flatmap(
    lambda order: st.integers(1, 3).map(lambda n: tuple(order[:n]))
)
TIMEOUTS = st.sampled_from([50, 51, 100, 300, 301, 600, 2999, 3000])


@given(ANY_MEANS, PLANS, TIMEOUTS, st.integers(1, 5), st.booleans())
def test_what_holds_of_every_challenge(
    means: Means, plan: tuple[int, ...], timeout: int, most: int, weaker: bool
) -> None:
    answer = ask(means, plan, timeout, most, weaker)
    used = {"otp"} if answer.factor == FACTORS.index("otp") else set()
    assert answer.outcome in (VERIFIED, FAILED, ABANDONED, UNDELIVERED, EXPIRED)
    assert 0 <= answer.attempts <= most
    assert 0 <= answer.messages <= len(plan) + 1
    assert (answer.channel > 0) == (bool(used) and answer.outcome in (VERIFIED, FAILED, EXPIRED))
    assert (answer.microusd == 0) == (answer.messages == 0)
    assert answer.seconds_ds >= 0
    if answer.outcome == FAILED:
        assert answer.attempts == most <= means.wrong_codes
    if answer.outcome == VERIFIED:
        assert 1 <= answer.attempts <= means.wrong_codes + 1
        assert means.is_attack or means.phone_at_hand or means.passkey_works
    if answer.outcome == UNDELIVERED:
        assert answer.attempts == 0


# What is monotone, and what is not. Each holds of one challenge; a replay as a whole need not be
# monotone, because one more completed login changes what later ones meet.


@given(ANY_MEANS, PLANS, TIMEOUTS)
def test_one_more_channel_at_the_end_never_loses_a_login(
    means: Means, plan: tuple[int, ...], timeout: int
) -> None:
    """Only of those who ask for no resend: a further channel puts the resend off by a time-out,
    past the patience of some who would have been reached by it.
    """
    assume(len(plan) > 1)
    means = means._replace(resends=False)
    fewer, more = ask(means, plan[:-1], timeout), ask(means, plan, timeout)
    assert (more.outcome == VERIFIED) >= (fewer.outcome == VERIFIED)
    if fewer.outcome == VERIFIED:
        assert more.seconds_ds <= fewer.seconds_ds
    assert more.messages >= fewer.messages or more.outcome == VERIFIED


def test_one_more_channel_can_lose_a_login_by_putting_the_resend_off() -> None:
    means = person(whatsapp_ds=NEVER, sms_ds=NEVER, resends=True, patience_ds=350)
    assert ask(means, (WHATSAPP,)).outcome == VERIFIED
    assert ask(means, (WHATSAPP, SMS)).outcome == UNDELIVERED


@given(ANY_MEANS, PLANS, TIMEOUTS, TIMEOUTS)
def test_a_longer_time_out_never_hastens_a_code_and_never_sends_more(
    means: Means, plan: tuple[int, ...], one: int, other: int
) -> None:
    shorter, longer = (ask(means, plan, timeout) for timeout in sorted((one, other)))
    assert longer.messages <= shorter.messages
    assert longer.microusd <= shorter.microusd
    assert (longer.outcome == VERIFIED) <= (shorter.outcome == VERIFIED)
    if longer.outcome == VERIFIED:
        assert longer.seconds_ds >= shorter.seconds_ds


@given(ANY_MEANS, PLANS, TIMEOUTS, st.integers(1, 4))
def test_one_more_attempt_never_loses_a_login(
    means: Means, plan: tuple[int, ...], timeout: int, most: int
) -> None:
    fewer, more = ask(means, plan, timeout, most), ask(means, plan, timeout, most + 1)
    assert (more.outcome == VERIFIED) >= (fewer.outcome == VERIFIED)
    if fewer.outcome == VERIFIED:
        assert more == fewer


@given(ANY_MEANS, PLANS, TIMEOUTS)
def test_a_weaker_factor_lets_nobody_less_in(
    means: Means, plan: tuple[int, ...], timeout: int
) -> None:
    strict, lenient = (ask(means, plan, timeout, weaker=weaker) for weaker in (False, True))
    assert (lenient.outcome == VERIFIED) >= (strict.outcome == VERIFIED)
    if strict.outcome == VERIFIED:
        assert lenient == strict


@given(ANY_MEANS, PLANS, TIMEOUTS, st.sampled_from(DELAYS), st.sampled_from(DELAYS))
def test_more_patience_never_loses_a_login(
    means: Means, plan: tuple[int, ...], timeout: int, one: int, other: int
) -> None:
    less, more = (
        ask(means._replace(patience_ds=wait), plan, timeout) for wait in sorted((one, other))
    )
    assert (more.outcome == VERIFIED) >= (less.outcome == VERIFIED)


@given(ANY_MEANS, PLANS, TIMEOUTS, st.integers(0, 6))
def test_an_attacker_who_beats_more_gets_in_no_less(
    means: Means, plan: tuple[int, ...], timeout: int, bit: int
) -> None:
    fewer = means._replace(is_attack=True, defeats=means.defeats & ~(1 << bit))
    more = means._replace(is_attack=True, defeats=means.defeats | 1 << bit)
    for weaker in (True, False):
        before, after = (ask(m, plan, timeout, weaker=weaker).outcome for m in (fewer, more))
        assert (after == VERIFIED) >= (before == VERIFIED)
