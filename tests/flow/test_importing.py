"""Accounts brought over are whole, and all come or none."""

from __future__ import annotations

from dataclasses import replace

import pyotp
import pytest

from tests.flow.lab import NOW, ORIGIN, PASSWORD, PASSWORDS, PHONE, Lab
from twofa_lab.errors import InputError
from twofa_lab.factors import passkeys, totp
from twofa_lab.factors.passkeys import Kind, PasskeyRecord
from twofa_lab.factors.soft_authenticator import SoftAuthenticator
from twofa_lab.flow.answer import another_factor, answer
from twofa_lab.flow.importing import Import, import_accounts
from twofa_lab.flow.push_answers import proof_of_app, push_answer
from twofa_lab.store import accounts
from twofa_lab.store.engine import read

HASH = PASSWORDS.hash(PASSWORD)


def plain(user_id: int = 5, name: str = "Ann", **changed: object) -> Import:
    one = Import(user_id, name, HASH, NOW - 1, PHONE, "Europe/London", otp=True)
    return replace(one, **changed)  # type: ignore[arg-type]


def key_of(lab: Lab, user_id: int, device: SoftAuthenticator, kind: Kind) -> PasskeyRecord:
    handle = passkeys.user_handle(lab.flow.keyring, user_id)
    site = lab.flow.relying_party
    asked = passkeys.registration(site, user_handle=handle, user_name="ann", kind=kind)
    answered = device.register(asked.options, ORIGIN)
    return passkeys.verify_registration(
        site, asked.challenge, answered, user_handle=handle, kind=kind
    )


def test_every_factor_brought_over_signs_in(both: Lab) -> None:
    lab, app_key, push = both, totp.new_secret(), b"s" * 32
    synced, hardware = SoftAuthenticator(synced=True), SoftAuthenticator()
    keys = (key_of(lab, 5, synced, "passkey"), key_of(lab, 5, hardware, "hardware_key"))
    one = plain(totp=app_key, push=push, keys=keys, email="ann@example.com", whatsapp=True)
    assert import_accounts(lab.flow, [one]) == 1

    def passed(factor: str, ask: object, ticket: object) -> str:
        if factor in {"passkey", "hardware_key"}:
            device = synced if factor == "passkey" else hardware
            return device.authenticate(ask.options, ORIGIN)  # type: ignore[attr-defined]
        if factor == "push":
            request, number = lab.outbox.pushes[-1][1], ask.number  # type: ignore[attr-defined]
            proof = proof_of_app(push, request, number, approved=True)
            assert push_answer(lab.flow, request, number, proof, approved=True) == "approved"
            return ""
        if factor == "totp":
            return lab.shown(pyotp.TOTP(app_key.base32))
        return lab.code(PHONE)

    for factor in ("hardware_key", "passkey", "push", "totp", "otp"):
        step = lab.strange_login()
        assert step.ask is not None
        if factor != "hardware_key":
            assert factor in step.ask.others
            step = another_factor(lab.flow, step.ticket, factor, "192.0.2.1")
        assert step.ask is not None
        assert step.ask.factor == factor
        done = answer(lab.flow, step.ticket, passed(factor, step.ask, step.ticket))
        assert (factor, done.status) == (factor, "signed_in")
    with read(lab.flow.engine) as c:
        account = accounts.account(c, 5)
    assert account is not None
    assert (account.name, account.status, account.created) == ("ann", "active", NOW - 1)
    assert (account.whatsapp, account.line_type) == (True, "mobile")
    assert accounts.email_of(lab.flow.keyring, account) == "ann@example.com"
    assert lab.audit_holds()


def test_the_carriers_word_goes_before_the_ranges(lab: Lab) -> None:
    import_accounts(lab.flow, [plain(line_type="landline")])
    with read(lab.flow.engine) as c:
        account = accounts.account(c, 5)
    assert account is not None
    assert account.line_type == "landline"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"user_id": 5, "name": "Bob"}, "account 5: .*taken"),
        ({"name": " ANN "}, "account 6: .*taken"),
        ({"phone": "07400 123456"}, "account 6: .*country"),
        ({"email": "nobody"}, "account 6: .*e-mail"),
        ({"home_zone": "Nowhere"}, "account 6: .*zone"),
        ({"totp": None, "push": None, "name": ""}, "account 6: .*login name"),
    ],
)
def test_all_come_or_none(lab: Lab, wrong: dict[str, object], words: str) -> None:
    second = replace(plain(6, "bob"), **wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=words) as refused:
        import_accounts(lab.flow, [plain(), second])
    assert PHONE not in str(refused.value)
    with read(lab.flow.engine) as c:
        assert accounts.account(c, 5) is None
    assert lab.events() == []


def test_a_key_of_another_account_is_refused(lab: Lab) -> None:
    key = key_of(lab, 7, SoftAuthenticator(synced=True), "passkey")
    with pytest.raises(InputError, match="user handle"):
        import_accounts(lab.flow, [plain(keys=(key,))])


def test_nothing_secret_is_shown(lab: Lab) -> None:
    key = totp.new_secret()
    one = plain(totp=key, push=b"secret of the app", email="ann@example.com")
    import_accounts(lab.flow, [one])
    seen = repr(one) + repr(lab.events())
    for secret in (PHONE, "ann@example.com", HASH, key.base32, "secret of the app"):
        assert secret not in seen
