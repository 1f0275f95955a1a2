"""Names, e-mail addresses and labels: brought to one form, or refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofa_lab.errors import InputError
from twofa_lab.flow.contact import email_address, home_zone, new_label, new_name
from twofa_lab.flow.login import login_name
from twofa_lab.flow.notices import mask_email


@given(st.text())
def test_a_name_taken_is_found_again_however_it_is_typed(text: str) -> None:
    try:
        name = new_name(text)
    except InputError:
        return
    assert name == login_name(text) == login_name(f" {text} ")
    assert name.isprintable()
    assert not name.startswith(" ")


@given(st.text())
def test_an_address_breaks_no_header(text: str) -> None:
    try:
        address = email_address(text)
    except InputError:
        return
    assert email_address(address) == address
    assert address.count("@") == 1
    assert not set(address) & set("\r\n\t ,;<>")
    local, _, domain = address.partition("@")
    assert mask_email(address) == f"{local[0]}•••@{domain}"


@given(st.emails(domains=st.just("example.com")))
def test_usual_addresses_are_taken(address: str) -> None:
    assert email_address(address) == address


@pytest.mark.parametrize(
    "text",
    ["", "ann", "@example.com", "ann@", "ann@example", "ann@ex..com", "a@b@c.com", "a b@c.com",
     "ann@example.com\nBcc: eve@example.com", "<ann@example.com>", "a@c.com,b@c.com",
     f"{'a' * 250}@example.com"],
)  # fmt: skip
def test_other_text_is_no_address(text: str) -> None:
    with pytest.raises(InputError, match="e-mail address"):
        email_address(text)


@given(st.text())
def test_a_label_is_one_short_line(text: str) -> None:
    try:
        label = new_label(text)
    except InputError:
        return
    assert 1 <= len(label) <= 64
    assert label.isprintable()
    assert new_label(label) == label


@given(st.text())
def test_a_zone_is_known_or_refused(text: str) -> None:
    try:
        assert home_zone(text) == text
    except InputError as error:
        assert "home zone" in str(error)  # noqa: PT017 - either way is right


@pytest.mark.parametrize("text", ["", "..", "/etc/passwd", "America", "a\0b", "x" * 5000])
def test_no_path_is_a_zone(text: str) -> None:
    with pytest.raises(InputError, match="home zone"):
        home_zone(text)
