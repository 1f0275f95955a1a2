"""Simulated people with real authenticators: phones, apps, keys, for playing a world for real.

Their numbers are valid ones that nobody sends to: the carrier is simulated. What they hold is what
the replay's people table says they have enrolled.
"""

from __future__ import annotations

import hmac
import random
from collections import Counter
from dataclasses import dataclass, field

import phonenumbers
from faker import Faker
from phonenumbers import PhoneNumberType

from twofa_lab.delivery.phone import PhoneNumber, parse
from twofa_lab.errors import InputError
from twofa_lab.factors.soft_authenticator import SoftAuthenticator
from twofa_lab.factors.totp import TotpSecret

__all__ = ["FastPasswords", "Identities", "Identity", "Numbers"]

_ELSEWHERE = "US"
"""Where numbers of accounts without a known country are taken from."""


class FastPasswords:
    """Passwords under one HMAC: for simulated accounts by the thousand, never for real ones.

    >>> fast = FastPasswords()
    >>> fast.verify(fast.hash("correct horse"), "correct horse"), fast.verify(fast.decoy, "x")
    (True, False)
    """

    decoy = "no password"

    def hash(self, password: str) -> str:
        """See `Passwords.hash`."""
        return hmac.digest(b"simulated people", password.encode(), "sha256").hex()

    def verify(self, stored: str, password: str) -> bool:
        """See `Passwords.verify`."""
        return hmac.compare_digest(stored, self.hash(password))


class Numbers:
    """Valid phone numbers, each given out once.

    >>> numbers = Numbers()
    >>> numbers.next("GB", "mobile") != numbers.next("GB", "mobile")
    True
    >>> numbers.next("GB", "landline").line_type
    'landline'
    """

    def __init__(self) -> None:
        self._given: Counter[tuple[str, str]] = Counter()

    def next(self, country: str, line_type: str) -> PhoneNumber:
        """The next number of a country (ISO 3166) and line type; of the US for places without."""
        region = country if country in phonenumbers.SUPPORTED_REGIONS else _ELSEWHERE
        kind = PhoneNumberType.FIXED_LINE if line_type == "landline" else PhoneNumberType.MOBILE
        example = phonenumbers.example_number_for_type(region, kind)
        if example is None:
            return self.next(_ELSEWHERE, line_type)
        national = phonenumbers.national_significant_number(example)
        varied = min(6, len(national) - 2)
        while (count := self._given[region, line_type]) < 10**varied:
            self._given[region, line_type] += 1
            tail = (int(national[-varied:]) + count) % 10**varied
            text = f"+{example.country_code}{national[:-varied]}{tail:0{varied}d}"
            try:
                number = parse(text)
            except InputError:
                continue  # a hole in the numbering plan
            if number.region == region:
                return number
        raise InputError(f"no more phone numbers in {region} for simulated people")


@dataclass
class Identity:
    """One person as the service knows them, and what they hold in their hands.

    `line_type` is the carrier's word, where a number's range cannot tell; `cookies` are the tokens
    of trust by device, `app_step` the last step of the app's codes that was accepted.
    """

    user_id: int
    name: str
    email: str
    password: str = field(repr=False)
    number: PhoneNumber
    line_type: str
    whatsapp: bool
    home_zone: str = "UTC"
    totp: TotpSecret | None = field(default=None, repr=False)
    push: bytes | None = field(default=None, repr=False)
    passkey: SoftAuthenticator | None = None
    hardware_key: SoftAuthenticator | None = None
    cookies: dict[str, str] = field(default_factory=dict, repr=False)
    app_step: int = -1


class Identities:
    """Makes people up: names and addresses by Faker, numbers by country, each once."""

    def __init__(self, seed: int) -> None:
        self._faker = Faker("en_US")
        self._faker.seed_instance(seed)
        self._numbers = Numbers()
        self._random = random.Random(seed)  # noqa: S311 - simulated people

    def next(self, user_id: int, country: str, line_type: str, *, whatsapp: bool) -> Identity:
        """Somebody new."""
        name = f"{self._faker.user_name()}{user_id}"
        return Identity(
            user_id=user_id,
            name=name,
            email=f"{name}@example.com",
            password=f"{self._random.getrandbits(64):016x}",
            number=self._numbers.next(country, line_type),
            line_type=line_type,
            whatsapp=whatsapp,
        )
