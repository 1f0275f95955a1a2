"""What people give to be known and reached by: a login name, an e-mail address, a label."""

from __future__ import annotations

import unicodedata
from zoneinfo import ZoneInfo

from twofa_lab.errors import InputError
from twofa_lab.flow.login import login_name

__all__ = ["email_address", "home_zone", "new_label", "new_name"]

_LONGEST_NAME, _LONGEST_EMAIL, _LONGEST_LABEL = 254, 254, 64


def new_name(text: str) -> str:
    """A login name for a new account, in the form accounts are kept under, or `InputError`.

    >>> new_name(" Ann@Example.com ")
    'ann@example.com'
    """
    name = login_name(text)
    if not name or len(text) > _LONGEST_NAME or not name.isprintable():
        raise InputError(f"a login name has 1 to {_LONGEST_NAME} printable characters")
    return name


def new_label(text: str) -> str:
    """A label for a factor, or `InputError`.

    >>> new_label("  my  phone ")
    'my phone'
    """
    label = " ".join(unicodedata.normalize("NFC", text[: 4 * _LONGEST_LABEL]).split())
    if not 1 <= len(label) <= _LONGEST_LABEL or not label.isprintable():
        raise InputError(f"a label has 1 to {_LONGEST_LABEL} printable characters")
    return label


def email_address(text: str) -> str:
    """An e-mail address with its domain in lower case, or `InputError`.

    Only what could break a message's header or never be delivered is refused; that it is the
    person's own is proved by a code.

    >>> email_address("Ann.Lee@Example.COM")
    'Ann.Lee@example.com'
    """
    plain = unicodedata.normalize("NFC", text).strip()
    local, _, domain = plain.rpartition("@")
    spaced = any(ch.isspace() or not ch.isprintable() for ch in plain)
    labels = domain.split(".")
    if spaced or not local or len(plain) > _LONGEST_EMAIL or len(labels) < 2 or not all(labels):
        raise InputError("this is not an e-mail address; it reads like ann@example.com")
    if any(ch in local + domain for ch in '<>,;:"\\@()[]'):
        raise InputError("an e-mail address with quotes, brackets or a list is not taken")
    return f"{local}@{domain.lower()}"


def home_zone(text: str) -> str:
    """A time zone of the tz database, or `InputError`.

    >>> home_zone("Europe/London")
    'Europe/London'
    """
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError):  # no such zone, no such path, a folder
        raise InputError(
            "the home zone is not one of the tz database, such as Europe/London"
        ) from None
    return text
