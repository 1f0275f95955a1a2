from typing import Any

import pytest

from twofa_lab.delivery.phone import PhoneNumber
from twofa_lab.delivery.providers.base import DeliveryError, Reason
from twofa_lab.delivery.sim_swap import CamaraSimSwap, SimSwapVerdict, sim_swap_verdict
from twofa_lab.errors import InputError


@pytest.fixture
def check(lab: Any) -> CamaraSimSwap:
    client = lab.client("sim-swap", lab.local.sim_swap_url)
    return CamaraSimSwap(client, lab.local.secrets.sim_swap_token)


def test_a_sim_changed_lately_is_known(lab: Any, check: CamaraSimSwap, mobile: PhoneNumber) -> None:
    assert sim_swap_verdict(check, mobile) is SimSwapVerdict.CLEAR
    lab.local.sims.swap(mobile)
    assert sim_swap_verdict(check, mobile) is SimSwapVerdict.SWAPPED
    lab.clock.advance(48 * 3600)
    assert sim_swap_verdict(check, mobile, max_age_hours=47) is SimSwapVerdict.CLEAR
    assert sim_swap_verdict(check, mobile, max_age_hours=48) is SimSwapVerdict.SWAPPED


@pytest.mark.parametrize("fault", [
    "5xx", "429", "timeout-after-send", "slow-drip", "slow-headers", "malformed-json",
    "oversized-json", "redirect",
])  # fmt: skip
def test_without_an_answer_it_fails_closed_or_open_as_told(
    lab: Any, check: CamaraSimSwap, mobile: PhoneNumber, fault: str
) -> None:
    lab.fault(fault + "@sim-swap")
    closed = sim_swap_verdict(check, mobile)
    assert closed is SimSwapVerdict.UNKNOWN_REFUSED
    assert not closed.allows
    assert sim_swap_verdict(check, mobile, fail_closed=False).allows


def test_a_question_is_repeated_after_a_passing_fault(
    lab: Any, check: CamaraSimSwap, mobile: PhoneNumber
) -> None:
    lab.fault("5xx:1@sim-swap")
    assert sim_swap_verdict(check, mobile) is SimSwapVerdict.CLEAR


def test_a_wrong_token_is_no_answer(lab: Any, mobile: PhoneNumber) -> None:
    client = lab.client("sim-swap", lab.local.sim_swap_url)
    with pytest.raises(DeliveryError) as refused:
        CamaraSimSwap(client, "wrong").swapped(mobile, 240)
    assert refused.value.reason is Reason.CREDENTIALS


def test_the_look_back_has_the_api_s_bounds(check: CamaraSimSwap, mobile: PhoneNumber) -> None:
    for hours in (0, 2401):
        with pytest.raises(InputError, match="2400"):
            sim_swap_verdict(check, mobile, max_age_hours=hours)
    with pytest.raises(DeliveryError):
        check.swapped(mobile, 0)
