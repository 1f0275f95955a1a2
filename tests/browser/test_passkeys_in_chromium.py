"""Passkeys end to end: a real Chromium, its virtual authenticators, a page, the real flow.

Where no Chromium is installed these tests are skipped, and say so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.browser import chromium
from tests.browser.chromium import Authenticator, Page
from tests.browser.site import Site, serving
from tests.flow.lab import Lab, make_lab
from twofa_lab.factors.passkeys import RelyingParty
from twofa_lab.store.authenticators import Authenticator as Stored
from twofa_lab.store.engine import connect
from twofa_lab.store.migrations import upgrade

REGISTERED = {"status": "registered"}
AAL2 = {"status": "signed_in", "level": 2}


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    binary = chromium.installed()
    if binary is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    with chromium.browser(binary, tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def site(tab: Page, tmp_path: Path) -> Iterator[Site]:
    """Ann, signed up with a phone and no second factor, and the page open in the tab."""
    engine = connect(f"sqlite:///{tmp_path}/site.db", create=True)
    upgrade(engine)

    def make(origin: str) -> Site:
        lab = make_lab(engine, relying_party=RelyingParty("localhost", "Local", (origin,)))
        return Site(lab, lab.sign_up())

    with serving(make) as (origin, made):
        tab.open(f"{origin}/")
        yield made
    engine.dispose()


@contextmanager
def plugged(tab: Page, **options: object) -> Iterator[Authenticator]:
    device = Authenticator(tab, **options)
    try:
        yield device
    finally:
        device.remove()


@pytest.fixture
def phone(tab: Page, site: Site) -> Iterator[Authenticator]:
    """A phone with a sync service: its keys are eligible for backup and backed up."""
    with plugged(tab, defaultBackupEligibility=True, defaultBackupState=True) as device:
        yield device


@pytest.fixture
def key(tab: Page, site: Site) -> Iterator[Authenticator]:
    """A key whose credentials never leave it."""
    with plugged(tab, transport="usb") as device:
        yield device


def bound(lab: Lab) -> Stored:
    (one,) = (one for one in lab.stored() if one.credential_id)
    return one


def attempts(lab: Lab) -> list[tuple[bool, str]]:
    """The audit's attempts with a key: whether right, and why not where the audit says."""
    said = [json.loads(detail) for _, detail in lab.events("attempt")]
    return [(one["right"], one.get("refused", "")) for one in said if one["factor"] != "otp"]


def test_a_passkey_is_registered_and_signs_in_after_a_password(
    tab: Page, site: Site, phone: Authenticator
) -> None:
    assert tab.run("register('passkey')") == REGISTERED
    assert tab.run("signIn()") == AAL2
    assert tab.run("document.getElementById('said').textContent") == "signed_in"
    assert site.lab.audit_holds()


def test_a_resident_passkey_signs_in_without_a_name(
    tab: Page, site: Site, phone: Authenticator
) -> None:
    tab.run("register('passkey')")
    assert tab.run("signInWithoutName()") == AAL2
    assert phone.keys()[0]["isResidentCredential"]


def test_a_synced_passkey_and_a_device_bound_key_are_told_apart(
    tab: Page, site: Site, phone: Authenticator
) -> None:
    tab.run("register('passkey')")
    one = bound(site.lab)
    assert (one.backup_eligible, one.backup_state) == (True, True)
    assert one.label == "passkey (synced)"


def test_a_device_bound_key_is_a_hardware_key_and_counts(
    tab: Page, site: Site, key: Authenticator
) -> None:
    assert tab.run("register('hardware_key')") == REGISTERED
    one = bound(site.lab)
    assert (one.backup_eligible, one.backup_state) == (False, False)
    assert one.label == "hardware key (device-bound)"
    assert tab.run("signIn()") == AAL2
    assert bound(site.lab).sign_count == key.keys()[0]["signCount"] > one.sign_count


def test_a_synced_key_is_no_hardware_key(tab: Page, site: Site) -> None:
    with plugged(tab, transport="usb", defaultBackupEligibility=True):
        said = tab.run("register('hardware_key')")
    assert said["status"] == "refused"
    assert "synced" in said["why"]


def test_a_backup_may_begin_later_but_eligibility_may_not_change(
    tab: Page, site: Site, phone: Authenticator
) -> None:
    tab.run("register('passkey')")
    (credential,) = phone.keys()
    phone.mark(credential, backupState=False)
    assert tab.run("signIn()") == AAL2
    assert bound(site.lab).backup_state is False
    phone.mark(credential, backupEligibility=False)
    assert tab.run("signInWithoutName()")["status"] == "refused"
    assert attempts(site.lab)[-1] == (False, "impossible or changed backup flags")


def test_without_pin_or_finger_the_browser_gives_no_answer(
    tab: Page, site: Site, phone: Authenticator
) -> None:
    phone.verify_user(False)
    assert tab.run("register('passkey')") == {"browser": "NotAllowedError"}
    phone.verify_user(True)
    tab.run("register('passkey')")
    phone.verify_user(False)
    assert tab.run("signIn()") == {"browser": "NotAllowedError"}
    assert tab.run("signInWithoutName()") == {"browser": "NotAllowedError"}


@pytest.mark.parametrize(
    ("spoiled", "why"),
    [
        ("isBadUV", "user not verified"),
        ("isBadUP", "user not present"),
        ("isBogusSignature", "signature or key"),
    ],
)
def test_an_answer_that_lies_is_refused(
    tab: Page, site: Site, phone: Authenticator, spoiled: str, why: str
) -> None:
    tab.run("register('passkey')")
    phone.spoil(**{spoiled: True})
    assert tab.run("signIn()") == {"status": "asked", "level": 0}
    assert tab.run("signInWithoutName()") == {"status": "refused", "level": 0}
    assert attempts(site.lab) == [(False, ""), (False, why)]
    phone.spoil(**{spoiled: False})
    assert tab.run("signIn()") == AAL2
    assert tab.run("signInWithoutName()") == AAL2


def test_a_cloned_authenticator_is_caught_by_its_counter(tab: Page, site: Site) -> None:
    """Key and counter are copied; the owner signs in twice; the copy comes with an old count."""
    with plugged(tab, transport="usb") as mine:
        tab.run("register('passkey')")
        (copied,) = mine.keys()
        assert [tab.run("signIn()"), tab.run("signIn()")] == [AAL2, AAL2]
        (owned,) = mine.keys()
    assert owned["signCount"] == copied["signCount"] + 2
    with plugged(tab, transport="usb") as thief:
        thief.take(copied)
        assert tab.run("signIn()")["status"] == "asked"
        thief.remove_key(copied)
        thief.take(copied)
        assert tab.run("signInWithoutName()")["status"] == "refused"
    assert attempts(site.lab)[2:] == [(False, ""), (False, "cloned: the counter did not grow")]
    with plugged(tab, transport="usb") as again:
        again.take(owned)
        assert tab.run("signIn()") == AAL2


def test_the_browser_does_not_register_one_authenticator_twice(
    tab: Page, site: Site, phone: Authenticator
) -> None:
    tab.run("register('passkey')")
    assert tab.run("signInWithoutName()") == AAL2  # a change of factors asks for that level now
    assert tab.run("register('passkey')") == {"browser": "InvalidStateError"}


def test_a_page_of_another_site_gets_no_answer(tab: Page, site: Site, phone: Authenticator) -> None:
    """127.0.0.1 is the same server under another name, as a phishing page would be."""
    tab.run("register('passkey')")
    (origin,) = site.lab.flow.relying_party.origins
    tab.open(origin.replace("localhost", "127.0.0.1") + "/")
    assert tab.run("signInWithoutName()") == {"browser": "SecurityError"}


def test_a_page_framed_by_another_site_is_refused(
    tab: Page, site: Site, phone: Authenticator
) -> None:
    tab.run("register('passkey')")
    (origin,) = site.lab.flow.relying_party.origins
    tab.open(origin.replace("localhost", "127.0.0.1") + "/")
    script = f"""new Promise((done) => {{
      window.addEventListener("message", (event) => done(event.data));
      const frame = document.createElement("iframe");
      frame.allow = "publickey-credentials-get *";
      frame.src = "{origin}/?framed";
      document.body.append(frame);
    }})"""
    said = tab.run(script)
    assert said["status"] == "refused"
    assert attempts(site.lab) == [(False, "page embedded in another site")]
