from __future__ import annotations

import math
import secrets
from dataclasses import replace
from inspect import signature
from typing import Literal

import argon2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofa_lab.errors import InputError
from twofa_lab.factors import recovery_codes
from twofa_lab.factors.ports import RandomBytes
from twofa_lab.factors.recovery_codes import (
    HashCost,
    NewRecoveryCodes,
    RecoveryRules,
    TypedRecoveryCode,
    generate,
    is_low,
    matches,
    parse,
)
from twofa_lab.factors.typed import CODE_ALPHABET


@pytest.fixture
def new(cheap: HashCost, seeded: RandomBytes) -> NewRecoveryCodes:
    return generate(RecoveryRules(cost=cheap), seeded)


def read(code: str) -> TypedRecoveryCode:
    typed = parse(code)
    assert typed is not None
    return typed


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every Argon2 computation, as the library is called."""
    calls: list[str] = []

    class Counting(argon2.PasswordHasher):
        def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
            calls.append("hash")
            return super().hash(password, salt=salt)

        def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002
            calls.append("verify")
            return super().verify(hash, password)

    monkeypatch.setattr(recovery_codes, "PasswordHasher", Counting)
    return calls


def test_a_set_is_ten_distinct_codes_in_four_groups_of_four(new: NewRecoveryCodes) -> None:
    assert len(new.codes) == len(set(new.codes)) == len(new.stored) == 10
    assert len({row.prefix for row in new.stored}) == 10
    for code, row in zip(new.codes, new.stored, strict=True):
        assert [len(group) for group in code.split("-")] == [4, 4, 4, 4]
        assert code.startswith(row.prefix)
        assert row.set_id == new.set_id


def test_prefixes_stay_distinct_when_the_generator_repeats_itself(cheap: HashCost) -> None:
    script = iter([b"s" * 16, b"\0" * 16, b"\0" * 4 + b"\1" * 12, b"\1" * 16])
    twins = generate(RecoveryRules(count=2, cost=cheap), lambda n: next(script))
    assert [row.prefix for row in twins.stored] == ["0000", "1111"]


def test_what_is_hashed_has_sixty_random_bits_from_the_system_s_generator() -> None:
    assert signature(generate).parameters["random_bytes"].default is secrets.token_bytes
    assert recovery_codes.SECRET_LENGTH * math.log2(len(CODE_ALPHABET)) == 60
    assert 256 % len(CODE_ALPHABET) == 0  # so a byte modulo 32 favours no letter


def test_each_code_matches_its_row_and_no_other(new: NewRecoveryCodes, cheap: HashCost) -> None:
    for i, code in enumerate(new.codes):
        results = [matches(row, read(code.lower()), cheap) for row in new.stored]
        assert results == [j == i for j in range(10)]


def test_a_wrong_secret_under_a_right_prefix_fails(new: NewRecoveryCodes, cheap: HashCost) -> None:
    typed = read(new.codes[0])
    wrong = replace(typed, secret=read(new.codes[1]).secret)
    assert not matches(new.stored[0], wrong, cheap)


def test_a_row_moved_to_another_set_checks_no_more(new: NewRecoveryCodes, cheap: HashCost) -> None:
    moved = replace(new.stored[0], set_id="0" * 32)
    assert not matches(moved, read(new.codes[0]), cheap)


def test_a_damaged_row_is_no_match_and_no_traceback(new: NewRecoveryCodes, cheap: HashCost) -> None:
    for damaged in (b"", b"nonsense", b"$argon2id$v=19$m=8,t=1,p=1$AAAA$", b"\xff\xfe"):
        assert not matches(replace(new.stored[0], code_hash=damaged), read(new.codes[0]), cheap)


def test_a_check_costs_one_hash_found_or_not(
    new: NewRecoveryCodes, cheap: HashCost, hashes: list[str]
) -> None:
    right, other = read(new.codes[0]), read(new.codes[1])
    for stored, typed in ((new.stored[0], right), (new.stored[0], other), (None, right)):
        hashes.clear()
        matches(stored, typed, cheap)
        assert len(hashes) == 1


def test_hashes_are_argon2id_with_the_documented_cost_and_a_salt_of_their_own() -> None:
    fresh = generate(RecoveryRules(count=2))
    salts = set()
    for row in fresh.stored:
        parameters = argon2.extract_parameters(row.code_hash.decode())
        assert parameters.type is argon2.Type.ID
        assert (parameters.time_cost, parameters.memory_cost) == (1, 4096)
        assert parameters.salt_len * 8 >= 32
        salts.add(row.code_hash.split(b"$")[4])
    assert len(salts) == 2


def test_a_new_set_shares_nothing_with_the_old_one(cheap: HashCost) -> None:
    rules = RecoveryRules(cost=cheap)
    old, new = generate(rules), generate(rules)
    assert old.set_id != new.set_id
    assert not set(old.codes) & set(new.codes)


def test_three_or_fewer_are_few() -> None:
    assert [is_low(n, RecoveryRules()) for n in range(5)] == [True, True, True, True, False]


@pytest.mark.parametrize("count", [0, 101])
def test_a_set_of_no_sensible_size_is_refused(count: int) -> None:
    with pytest.raises(InputError, match=str(count)):
        RecoveryRules(count=count)


def test_a_cost_below_argon2_s_floor_is_refused() -> None:
    for bad in ({"passes": 0}, {"memory_kib": 7}):
        with pytest.raises(InputError):
            HashCost(**bad)


@given(st.text(CODE_ALPHABET, min_size=16, max_size=16), st.booleans(), st.sampled_from(" -\t"))
def test_a_typed_code_parses_to_its_two_parts(code: str, lower: bool, gap: str) -> None:
    shown = gap.join(code[i : i + 4] for i in range(0, 16, 4))
    typed = read(shown.lower() if lower else shown)
    assert typed.prefix + typed.secret == code
    assert len(typed.prefix) == 4


@given(st.text(max_size=60))
def test_any_text_parses_or_is_none(text: str) -> None:
    typed = parse(text)
    if typed is not None:
        assert set(typed.prefix + typed.secret) <= set(CODE_ALPHABET)
        assert (len(typed.prefix), len(typed.secret)) == (4, 12)
