import pytest

from twofa_lab.delivery.local.faults import FAULTS, Fault, FaultInjector, parse_fault
from twofa_lab.errors import InputError


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_every_fault_can_be_asked_for(name: str) -> None:
    assert parse_fault(name) == Fault(name)
    assert parse_fault(f"{name}:3@check") == Fault(name, 3, "check")


@pytest.mark.parametrize("text", ["", "fire", "429:0", "429:x", "429@everywhere", "429:1@send@x"])
def test_a_fault_there_is_not_is_refused_with_what_there_is(text: str) -> None:
    with pytest.raises(InputError, match="name one of"):
        parse_fault(text)


def test_a_fault_strikes_as_often_and_where_it_was_told() -> None:
    injector = FaultInjector([parse_fault("429:2@send"), parse_fault("5xx@check")])
    assert [injector.strike("send") for _ in range(3)] == ["429", "429", None]
    assert [injector.strike("check") for _ in range(3)] == ["5xx"] * 3
    injector.set(parse_fault("webhook-twice:1"))
    assert injector.strike("send") is None
    assert not injector.strike_webhook("webhook-forged")
    assert [injector.strike_webhook("webhook-twice") for _ in range(2)] == [True, False]
