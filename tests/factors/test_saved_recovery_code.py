from __future__ import annotations

import math
import secrets
from inspect import signature

from hypothesis import given
from hypothesis import strategies as st

from twofa_lab.factors import recovery_codes, saved_recovery_code
from twofa_lab.factors.ports import RandomBytes
from twofa_lab.factors.recovery_codes import HashCost, matches
from twofa_lab.factors.typed import CODE_ALPHABET


def test_a_saved_code_matches_itself_and_not_the_next_one(
    cheap: HashCost, seeded: RandomBytes
) -> None:
    first, second = (saved_recovery_code.issue(cheap, seeded) for _ in range(2))
    typed = saved_recovery_code.parse(first.text.lower().replace("-", " "))
    assert typed is not None
    assert matches(first.stored, typed, cheap)
    assert not matches(second.stored, typed, cheap)
    assert first.stored.set_id != second.stored.set_id


def test_it_is_longer_than_the_standard_asks_and_from_the_system_s_generator() -> None:
    secret = saved_recovery_code.SAVED_CODE_LENGTH - recovery_codes.PREFIX_LENGTH
    assert secret * math.log2(len(CODE_ALPHABET)) == 100
    default = signature(saved_recovery_code.issue).parameters["random_bytes"].default
    assert default is secrets.token_bytes


@given(st.text(CODE_ALPHABET, max_size=30))
def test_the_two_kinds_of_code_are_never_taken_for_each_other(code: str) -> None:
    kinds = [recovery_codes.parse(code), saved_recovery_code.parse(code)]
    assert [kind is not None for kind in kinds] == [len(code) == 16, len(code) == 24]
