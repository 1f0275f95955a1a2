import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofa_lab.delivery.plan import (
    CODE_LIFE_DS,
    FallbackPlan,
    PlanState,
    Send,
    Timeline,
    timeline,
)
from twofa_lab.errors import InputError

THREE = ("whatsapp", "sms", "voice")


def play(channels: tuple[str, ...] = THREE, timeout_ds: int = 300, **person: object) -> Timeline:
    settings = {
        "delays_ds": {},
        "resend_delay_ds": None,
        "wants_resend": False,
        "patience_ds": 3000,
        "entry_ds": 100,
    }
    return timeline(channels, timeout_ds, **(settings | person))  # type: ignore[arg-type]


def times(played: Timeline) -> list[int]:
    return [send.at_ds for send in played.sends]


def test_channels_are_sent_one_timeout_apart_until_a_code_was_entered() -> None:
    assert times(play(delays_ds={"whatsapp": 50})) == [0]
    assert times(play(delays_ds={"sms": 50})) == [0, 300]
    assert times(play(delays_ds={"voice": 50})) == [0, 300, 600]
    assert play(delays_ds={"voice": 50}).leaves_ds == 750


def test_a_person_still_typing_when_the_next_channel_is_due_is_sent_it() -> None:
    # arrived at 250, done at 350: the second message leaves at 300 all the same, and is paid for
    played = play(delays_ds={"whatsapp": 250})
    assert times(played) == [0, 300]
    assert (played.used, played.leaves_ds) == ("whatsapp", 350)


def test_finishing_at_the_very_moment_a_channel_is_due_cancels_it() -> None:
    assert times(play(delays_ds={"whatsapp": 200})) == [0]
    assert times(play(delays_ds={"whatsapp": 201})) == [0, 300]
    assert times(play(patience_ds=300)) == [0]
    assert times(play(patience_ds=301)) == [0, 300]


def test_the_earliest_message_is_the_code_even_if_it_was_the_first_sent() -> None:
    assert play(delays_ds={"whatsapp": 350, "sms": 20}).used == "sms"
    assert play(delays_ds={"whatsapp": 310, "sms": 20}).used == "whatsapp"
    # both at once: the one sent earlier
    assert play(delays_ds={"whatsapp": 320, "sms": 20}).used == "whatsapp"


def test_a_code_that_arrives_after_patience_ran_out_is_not_entered() -> None:
    assert play(delays_ds={"whatsapp": 250}, patience_ds=250).leaves_ds == 350
    assert play(delays_ds={"whatsapp": 251}, patience_ds=250).leaves_ds == 250


def test_a_resend_goes_out_once_every_channel_timed_out() -> None:
    played = play(wants_resend=True, resend_delay_ds=40)
    assert played.sends[-1] == Send("whatsapp", 900, resend=True)
    assert (played.arrives_ds, played.used) == (940, "whatsapp")
    assert times(play(wants_resend=False)) == [0, 300, 600]


def test_no_resend_for_a_code_that_has_arrived_or_a_person_who_has_left() -> None:
    late = {"whatsapp": 899}
    assert len(play(wants_resend=True, delays_ds=late, entry_ds=500).sends) == 3
    assert len(play(wants_resend=True, delays_ds={"whatsapp": 900}, entry_ds=500).sends) == 3
    assert len(play(wants_resend=True, delays_ds={"whatsapp": 901}, entry_ds=500).sends) == 4
    assert len(play(wants_resend=True, patience_ds=900).sends) == 3


def test_a_person_without_any_usable_channel_gets_nothing() -> None:
    assert play(()) == Timeline((), None, None, 0)
    assert FallbackPlan(("sms",), 30).start(()).next_send() is None


def test_nothing_is_sent_once_the_code_is_dead() -> None:
    played = play(("sms", "voice", "whatsapp"), 3000, delays_ds={"sms": 5990}, patience_ds=9999)
    assert times(played) == [0, 3000]
    assert played.leaves_ds == CODE_LIFE_DS
    state = FallbackPlan(("sms", "voice", "whatsapp"), 300).start(("sms", "voice", "whatsapp"))
    for at in (0, 3000):
        state = state.sent(state.due(at) or Send("sms", -1))
    assert state.due(10**6) is None


def test_unusable_channels_are_skipped_without_waiting() -> None:
    plan = FallbackPlan(THREE, 30)
    assert plan.usable("mobile", whatsapp=True) == THREE
    assert plan.usable("mobile", whatsapp=False) == ("sms", "voice")
    assert plan.usable("landline", whatsapp=True) == ("voice",)
    state = plan.start(plan.usable("landline", whatsapp=True))
    assert state.due(0) == Send("voice", 0)


def test_a_refused_channel_makes_room_at_once_and_does_not_count() -> None:
    state = FallbackPlan(THREE, 30).start(THREE)
    state = state.refused(Send("whatsapp", 0))
    assert state.due(0) == Send("sms", 0)
    state = state.sent(Send("sms", 0))
    assert state.due(300) == Send("voice", 300)
    state = state.refused(Send("voice", 300)).resend_asked()
    assert state.due(300) == Send("sms", 300, resend=True)
    assert state.refused(Send("sms", 300, resend=True)).next_send() is None


def test_events_are_taken_only_for_the_plan_s_next_message() -> None:
    state = FallbackPlan(THREE, 30).start(THREE)
    for wrong in (Send("sms", 0), Send("whatsapp", 1)):
        with pytest.raises(ValueError, match="next one"):
            state.sent(wrong)


@pytest.mark.parametrize(("channels", "seconds", "says"), [
    ((), 30, "at least one"), (("sms", "sms"), 30, "only once"), (("fax",), 30, "fax"),
    (("none",), 30, "none"), (("sms",), 0, "timeout"), (("sms",), 600, "timeout"),
    (("sms",), float("nan"), "timeout"),
])  # fmt: skip
def test_impossible_plans_are_refused(channels: tuple[str, ...], seconds: float, says: str) -> None:
    with pytest.raises(InputError, match=says):
        FallbackPlan(channels, seconds)


def step_by_step(
    state: PlanState,
    delays_ds: dict[str, int | None],
    resend_delay_ds: int | None,
    wants_resend: bool,
    patience_ds: int,
    entry_ds: int,
) -> Timeline:
    """The same challenge through the state machine, one tenth of a second after another."""
    patience_ds = min(patience_ds, CODE_LIFE_DS)
    sends: list[Send] = []
    code, leaves = None, None
    arrivals: dict[int, list[str]] = {}

    def send_due(state: PlanState, now: int) -> PlanState:
        while (send := state.due(now)) is not None:
            sends.append(send)
            state = state.sent(send)
            delay = resend_delay_ds if send.resend else delays_ds.get(send.channel)
            if delay is not None:
                arrivals.setdefault(now + delay, []).append(send.channel)
        return state

    now = 0
    state = send_due(state, 0)  # the challenge is shown: its first message leaves
    if not sends:
        return Timeline((), None, None, 0)
    if wants_resend:
        state = state.resend_asked()
    while leaves is None:
        if code is None and now in arrivals:
            code = (now, arrivals[now][0])
            state = state.arrived()
        entered = code[0] + entry_ds if code and code[0] <= patience_ds else patience_ds
        if now >= min(entered, CODE_LIFE_DS):
            leaves = now
            state = state.finished()
        state = send_due(state, now)
        if code is None and now in arrivals:  # a message without any delay
            continue
        now += 1
    first = min(arrivals, default=None)
    used = None if first is None else arrivals[first][0]
    return Timeline(tuple(sends), first, used, leaves)


small = st.integers(0, 120)
maybe = st.none() | small


@given(
    channels=st.permutations(THREE).flatmap(
        lambda order: st.integers(0, 3).map(lambda n: tuple(order[:n]))
    ),
    timeout_ds=st.integers(1, 40),
    whatsapp=maybe,
    sms=maybe,
    voice=maybe,
    resend_delay_ds=maybe,
    wants_resend=st.booleans(),
    patience_ds=small,
    entry_ds=st.integers(0, 60),
)
def test_both_forms_of_the_rules_agree(
    channels: tuple[str, ...],
    timeout_ds: int,
    whatsapp: int | None,
    sms: int | None,
    voice: int | None,
    resend_delay_ds: int | None,
    wants_resend: bool,
    patience_ds: int,
    entry_ds: int,
) -> None:
    delays = {"whatsapp": whatsapp, "sms": sms, "voice": voice}
    at_once = timeline(
        channels,
        timeout_ds,
        delays_ds=delays,
        resend_delay_ds=resend_delay_ds,
        wants_resend=wants_resend,
        patience_ds=patience_ds,
        entry_ds=entry_ds,
    )
    stepped = step_by_step(
        PlanState(channels, timeout_ds),
        delays,
        resend_delay_ds,
        wants_resend,
        patience_ds,
        entry_ds,
    )
    assert stepped == at_once
