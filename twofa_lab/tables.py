"""The tables every room shares, documented once and checked at every boundary.

In memory a table is a dict of numpy arrays; text is an integer code into a vocabulary (a list of
strings), -1 where it is missing. On disk the same columns are Parquet, with text
dictionary-encoded. Times are milliseconds since 1970 UTC.

Logins lie *account-major*: sorted by account, then by time. That order is what makes one compiled
loop over an account's history fast, and a group of accounts a natural shard.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from twofa_lab.errors import InputError

__all__ = [
    "ATTACKS",
    "CHANNELS",
    "DECISIONS",
    "FACTORS",
    "LINE_TYPES",
    "LOGINS",
    "NEVER",
    "OUTCOMES",
    "OUTCOME_NAMES",
    "PEOPLE",
    "PERSONAL_ATTACKS",
    "POTENTIAL_OUTCOMES",
    "SIGNALS",
    "Array",
    "Column",
    "Table",
]

Array = npt.NDArray[Any]

NEVER = 65_535
"""A potential delay of this many deciseconds means: the message never arrives."""

ATTACKS = (
    "none",
    "credential_stuffing",
    "password_spray",
    "brute_force",
    "phishing_relay",
    "sim_swap",
    "push_bombing",
    "targeted",
    "very_targeted",
    "stolen_device",
    "reported",
)
"""Ground truth of a row. `reported` is a real log's own label, whose kind is unknown."""

PERSONAL_ATTACKS = ("targeted", "very_targeted", "stolen_device")
"""Attacks that start from what is known of one victim."""

CHANNELS = ("none", "whatsapp", "sms", "voice")
"""Out-of-band channels a code travels by; the index is the code in the tables."""

FACTORS = ("none", "otp", "totp", "push", "passkey", "hardware_key", "recovery_code")
"""Second factors; bit `1 << index` in the mask of a person's enrolled factors."""

LINE_TYPES = ("mobile", "landline", "voip")

DECISIONS = ("allow", "challenge", "deny")

SIGNALS = ("new_device", "new_country", "new_region", "odd_hour", "failed_burst")
"""Signals of the four-signal rule; bit `1 << index` in the `signals` column of outcomes.
A place never seen is one signal with two grades, country and region."""

OUTCOME_NAMES = (
    "allowed",
    "verified",
    "failed",
    "abandoned",
    "undelivered",
    "expired",
    "rate_limited",
    "denied",
    "locked",
    "wrong_password",
)


@dataclass(frozen=True)
class Column:
    """One column: its numpy type, whether it is text (a vocabulary code), and what it means."""

    name: str
    dtype: str
    doc: str
    text: bool = False
    required: bool = True


@dataclass(frozen=True)
class Table:
    """A named list of columns.

    >>> LOGINS.column("ip").dtype
    'uint64'
    """

    name: str
    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        """The column of that name; `InputError` when there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise InputError(f"the {self.name} table has no column {name!r}")

    def check(self, columns: dict[str, Array], only: Iterable[str] | None = None) -> None:
        """Raise `InputError` unless every required column (or every one of `only`) is there,
        of the right type, and all have one length.
        """
        wanted = [c for c in self.columns if (c.required if only is None else c.name in set(only))]
        lengths = set()
        for column in wanted:
            values = columns.get(column.name)
            if values is None:
                raise InputError(
                    f"the {self.name} table lacks the column {column.name!r}: {column.doc}"
                )
            if values.dtype != np.dtype(column.dtype):
                raise InputError(
                    f"column {column.name!r} of the {self.name} table is {values.dtype}, "
                    f"not {column.dtype}"
                )
            lengths.add(len(values))
        if len(lengths) > 1:
            raise InputError(f"columns of the {self.name} table differ in length: {lengths}")


POTENTIAL_OUTCOMES = (
    Column("po_whatsapp_ds", "uint16", "tenths of a second until a WhatsApp code would arrive"),
    Column("po_sms_ds", "uint16", "the same for an SMS"),
    Column("po_voice_ds", "uint16", "the same for a voice call being answered"),
    Column("po_resend_ds", "uint16", "the same for one resend on the plan's first channel"),
    Column("po_entry_ds", "uint16", "tenths of a second for one act: read and type a code"),
    Column("po_patience_ds", "uint16", "how long the person would wait for a code, tenths of 1 s"),
    Column("po_wrong_codes", "uint8", "wrong codes entered before the right one"),
    Column("po_phone_at_hand", "bool", "the enrolled phone is within reach"),
    Column("po_trusts_device", "bool", "would tick 'trust this device' when offered"),
    Column("po_resends", "bool", "would ask for a resend once every channel timed out"),
    Column("po_passkey_works", "bool", "a passkey or hardware-key ceremony would succeed"),
    Column(
        "po_defeats",
        "uint8",
        "attackers: which factors they would get past, bits: 0 WhatsApp, 1 SMS, 2 voice, "
        "3 TOTP, 4 push, 5 passkey, 6 hardware key",
    ),
)
"""What would happen if this login were challenged; a policy only reveals it."""

LOGINS = Table(
    "logins",
    (
        Column("login_id", "int64", "number of the row, account-major"),
        Column("user_id", "int64", "the account"),
        Column("time", "int64", "milliseconds since 1970 UTC"),
        Column("utc_offset_min", "int16", "the account's home clock at that time, minutes to UTC"),
        Column("ip", "uint64", "IPv4 address as a number, or the upper 64 bits of an IPv6 one"),
        Column("ip_listed", "bool", "the address is on a public block list"),
        Column("asn", "uint32", "autonomous system; 0 unknown; from 4200000000: packaged table"),
        Column("country", "int16", "ISO 3166 code of the address", text=True),
        Column("region", "int32", "first-level division of the address", text=True),
        Column("city", "int32", "city of the address", text=True),
        Column("user_agent", "int32", "User-Agent header", text=True),
        Column("browser", "int16", "browser name and version", text=True),
        Column("os", "int16", "operating system name and version", text=True),
        Column("device_type", "int8", "mobile, desktop, tablet, bot or unknown", text=True),
        Column("device_id", "uint64", "device fingerprint or first-party cookie; 0 unknown"),
        Column("rtt_ms", "uint16", "round-trip time, ms; 0 not measured"),
        Column("password_ok", "bool", "the password was right"),
        Column("password_reset", "bool", "the password had been reset just before"),
        Column("signup", "bool", "the sign-up itself: enters the history, is not a login"),
        Column("attack", "uint8", "ground truth, index into ATTACKS"),
        Column("campaign", "int32", "ground truth: the attack campaign, -1 for people"),
        *POTENTIAL_OUTCOMES,
    ),
)

PEOPLE = Table(
    "people",
    (
        Column("user_id", "int64", "the account"),
        Column("created", "int64", "sign-up, milliseconds since 1970 UTC"),
        Column("country", "int16", "home country", text=True),
        Column("region", "int32", "home region", text=True),
        Column("city", "int32", "home city", text=True),
        Column("time_zone", "int16", "home time zone, tz database name", text=True),
        Column("logins_per_year", "float32", "expected sign-ins a year"),
        Column("devices", "uint8", "devices in use at the start"),
        Column("line_type", "uint8", "of the enrolled phone, index into LINE_TYPES"),
        Column("whatsapp", "bool", "the phone number has WhatsApp"),
        Column("factors", "uint8", "enrolled second factors, bit mask over FACTORS"),
        Column("uses_vpn", "bool", "often comes through a VPN"),
        Column("slip_rate", "float32", "chance to type the password wrong"),
        Column("patience", "float32", "this person's factor on the time people wait"),
        Column("skill", "float32", "this person's factor on the time an entry takes"),
    ),
)

OUTCOMES = Table(
    "outcomes",
    (
        Column("login_id", "int64", "the row of the logins table"),
        Column("signals", "uint8", "bit mask over SIGNALS"),
        Column("failures", "uint8", "failed passwords for the account in the window before"),
        Column("score", "float64", "risk in [0, 1]"),
        Column("decision", "uint8", "index into DECISIONS; 255 where none was taken"),
        Column("trusted", "bool", "a trusted device lifted the challenge"),
        Column("factor", "uint8", "index into FACTORS"),
        Column("channel", "uint8", "channel of the code that was used, index into CHANNELS"),
        Column("messages", "uint8", "messages sent"),
        Column("attempts", "uint8", "codes entered"),
        Column("seconds_ds", "uint16", "time at the challenge, tenths of a second"),
        Column("message_microusd", "int32", "price of the messages, millionths of US$"),
        Column("outcome", "uint8", "index into OUTCOME_NAMES"),
    ),
)
