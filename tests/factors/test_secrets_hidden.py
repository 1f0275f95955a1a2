"""No object that holds a secret shows it: not by repr, not by str, not in a message."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from twofa_lab.factors import otp, push, recovery_codes, saved_recovery_code, totp
from twofa_lab.factors.passkey_refusals import CeremonyError, Refusal
from twofa_lab.factors.passkeys import (
    PasskeyRecord,
    Presented,
    RelyingParty,
    authentication,
    registration,
)
from twofa_lab.factors.ports import KeyedHash
from twofa_lab.factors.recovery_codes import HashCost
from twofa_lab.factors.soft_authenticator import SoftAuthenticator

SECRET = b"\x11\x22very secret bytes\x33"
RP = RelyingParty("example.org", "Example", ("https://example.org",))


def forms(secret: str | bytes) -> list[str]:
    if isinstance(secret, str):
        return [secret, secret.replace("-", "")]
    return [secret.hex(), repr(secret)[2:-1]]


def holders(keys: KeyedHash, cost: HashCost) -> dict[str, tuple[object, list[str | bytes]]]:
    codes = recovery_codes.generate(recovery_codes.RecoveryRules(cost=cost))
    typed = recovery_codes.parse(codes.codes[0])
    assert typed is not None
    saved = saved_recovery_code.issue(cost)
    key = totp.TotpSecret(SECRET)
    number = otp.hash_code(keys, "c", "123456")
    ceremony = registration(RP, user_handle=SECRET, user_name="ann")
    sign_in = authentication(RP)
    device = SoftAuthenticator(random_bytes=lambda n: (SECRET * 8)[:n])
    device.register(ceremony.options, "https://example.org")
    return {
        "otp code": (otp.OtpCode("483920"), ["483920"]),
        "otp challenge": (otp.OtpChallenge("c", number, 0), [number]),
        "match number": (push.MatchNumber("483920"), ["483920"]),
        "push request": (push.PushRequest("r", number, 0), [number]),
        "totp secret": (key, [SECRET, key.base32]),
        "enrolment": (totp.Enrolment(key, "ann", "Example"), [SECRET, key.base32]),
        "recovery codes": (codes, [*codes.codes, *(row.code_hash for row in codes.stored)]),
        "typed code": (typed, [typed.secret]),
        "saved code": (saved, [saved.text, saved.stored.code_hash]),
        "registration": (ceremony, [ceremony.challenge, SECRET]),
        "authentication": (sign_in, [sign_in.challenge]),
        "passkey record": (
            PasskeyRecord(b"id", SECRET, SECRET, "passkey", 0, True, True, True),
            [SECRET],
        ),
        "presented": (Presented(b"id", SECRET), [SECRET]),
        "soft authenticator": (device, [SECRET]),
        "its credentials": (device._credentials, [hex(device._credentials[0].key
                            .private_numbers().private_value)[2:]]),
    }  # fmt: skip


@pytest.mark.parametrize("show", [repr, str, "{}".format], ids=["repr", "str", "format"])
def test_secrets_stay_out_of_sight(
    show: Callable[[object], str], keys: KeyedHash, cheap: HashCost
) -> None:
    checked = 0
    for name, (holder, hidden) in holders(keys, cheap).items():
        shown = show(holder)
        for form in (form for secret in hidden for form in forms(secret)):
            assert form not in shown, name
            checked += 1
    assert checked > 60


def test_a_refusal_says_the_reason_and_nothing_that_was_sent() -> None:
    error = CeremonyError(Refusal.WRONG_ORIGIN)
    assert str(error) == "the key's answer was refused: wrong origin"
    assert error.__cause__ is None
