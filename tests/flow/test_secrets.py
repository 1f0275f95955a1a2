"""A whole life of an account; every log, `repr` and row is searched for what must not be there."""

from __future__ import annotations

import logging

import pytest

from tests.flow.lab import PHONE, SECOND, Lab, sign_up_of
from tests.flow.watched import Watched, holds, live
from twofa_lab.delivery import local_provider
from twofa_lab.delivery.providers.http import HttpClient
from twofa_lab.delivery.providers.verifynow import VerifyNow
from twofa_lab.flow.sign_up import begin_sign_up, verify_phone
from twofa_lab.store.engine import read
from twofa_lab.store.schema import metadata


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    for name in ("sqlalchemy.engine", "sqlalchemy.pool", "httpcore", "twofa_lab"):
        caplog.set_level(logging.DEBUG, logger=name)
    return caplog


def test_no_secret_in_any_log_repr_or_row(
    lab: Lab, everything_logged: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """ASVS 16.2.5, NIST SP 800-63B-4 3.1: codes, keys, tokens, recovery codes, whole numbers."""
    watched = Watched(lab)
    live(watched)
    with read(lab.flow.engine) as c:
        rows = [
            f"{table.name}: {row!r}"
            for table in metadata.sorted_tables
            for row in c.execute(table.select()).all()
        ]
    audited = [row for row in rows if row.startswith("audit")]
    logged = [record.getMessage() for record in everything_logged.records]
    places = {
        "repr": watched.shown,
        "rows": rows,
        "logs": logged,
        "output": list(capfd.readouterr()),
    }
    sizes = {name: len(texts) for name, texts in places.items()}
    print(f"{len(watched.secrets)} secrets, {len(audited)} audit rows, {sizes}")  # noqa: T201
    assert len(watched.secrets) > 40
    assert len(audited) > 40
    for name, texts in places.items():
        for text in texts:
            found = [secret for secret in watched.secrets if holds(text, secret)]
            assert not found, f"a secret in {name}: {text[:200]}"


def test_nor_where_a_provider_puts_codes_into_urls(
    lab: Lab, everything_logged: pytest.LogCaptureFixture
) -> None:
    """VerifyNow's query strings hold password, number and code."""
    with (
        local_provider.serve(lab.carrier, clock=lab.flow.clock) as local,
        HttpClient("verifynow", local.url) as http,
    ):
        given = local.secrets.verifynow
        lab = lab.with_rules(provider=VerifyNow(http, given))
        number = lab.reachable(PHONE)
        step = begin_sign_up(lab.flow, sign_up_of())
        assert step.ticket is not None
        lab.wait(5 * SECOND)
        code = local.inbox(number)[-1].code
        assert verify_phone(lab.flow, step.ticket, code).status == "signed_in"
    logged = "\n".join(record.getMessage() for record in everything_logged.records)
    logged += repr([given, http, lab.flow]) + repr(lab.events())
    for secret in (code, number.e164, number.national, given.password):
        assert not holds(logged, secret)
