"""The table of a sign-up experiment: a row a visitor, with the arm and all that was seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from twofa_lab.errors import InputError
from twofa_lab.sheet import Sheet, number, percent
from twofa_lab.tables import Array, Column, Table
from twofa_lab.traffic.signup.settings import DEVICES, FACTOR_OR_NONE, KINDS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SIGNUPS", "SignupTable"]

SIGNUPS = Table(
    "signups",
    (
        Column("arm", "int8", "the arm the visitor fell into", text=True),
        Column("day", "int16", "day of arrival, from 0"),
        Column("cluster", "int64", "household or device: visitors who may be alike"),
        Column("device", "int8", "mobile, desktop or tablet", text=True),
        Column("channel", "int8", "where the visitor came from", text=True),
        Column("country", "int16", "country of the phone", text=True),
        Column("earlier_visits", "int32", "visits in the 28 days before arrival"),
        Column("flagged", "bool", "a detector took the visitor for a script on landing"),
        Column("kind", "int8", "ground truth: person, bot, fraudster or pumper", text=True),
        Column("form", "bool", "completed the form"),
        Column("asked", "bool", "gave a phone number and was sent a code"),
        Column("verified", "bool", "typed the code"),
        Column("signed_up", "bool", "got an account: verified, and what the arm forces done"),
        Column("activated", "bool", "reached first value"),
        Column("stayed_days", "float32", "days from sign-up until gone; 0: never activated"),
        Column("retained_30", "bool", "activated, and not gone before day 30"),
        Column("retained_90", "bool", "the same for day 90"),
        Column("enrolled", "bool", "had a second factor in the end"),
        Column("factor", "int8", "that factor", text=True),
        Column("enrolled_day", "float32", "days from sign-up to enrolment; NaN: never"),
        Column("seconds", "float32", "spent at verification and enrolment during sign-up"),
        Column("logins", "int32", "later logins with the right password"),
        Column("completed", "int32", "of those, completed"),
        Column("challenges", "int32", "of those, asked for the second factor"),
        Column("taken_over", "bool", "the account was entered by an attacker"),
        Column("false_account", "bool", "ground truth: an account that is not a person's"),
        Column("tickets", "int32", "support tickets"),
        Column("messages", "int32", "messages sent, at sign-up and at challenges"),
        Column("message_usd", "float32", "what they cost, US$"),
        Column("incentive_usd", "float32", "incentive paid, US$"),
        Column(
            "net_usd", "float32", "margin of logins less messages, incentive, tickets, takeover"
        ),
    ),
)
"""What follows a sign-up is counted over the days each visitor is followed; a visitor without
account has zeros there, so that every column may be averaged over all visitors of an arm."""

_FIXED = {"device": DEVICES, "kind": KINDS, "factor": FACTOR_OR_NONE}


@dataclass(frozen=True, repr=False, eq=False)
class SignupTable(Mapping[str, Array]):
    """The visitors of an experiment: a mapping from column name to array, text columns as text.

    `codes` holds the columns as `SIGNUPS` describes them, `words` the vocabularies, `shares` the
    planned share of each arm.
    """

    title: str
    codes: dict[str, Array]
    words: dict[str, tuple[str, ...]]
    shares: dict[str, float]

    def __getitem__(self, name: str) -> Array:
        if name not in self.codes:
            raise KeyError(name)
        if name not in self.words:
            return self.codes[name]
        return np.array(self.words[name])[self.codes[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self.codes)

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def visitors(self) -> int:
        """Rows of the table."""
        return len(self.codes["arm"])

    def where(self, mask: Array) -> SignupTable:
        """Only the visitors for whom the mask holds.

        Ask only for what was so before the arms parted, such as `~table["flagged"]`; visitors
        chosen by what an arm does to them are no longer comparable.
        """
        if mask.dtype != np.bool_ or mask.shape != (self.visitors,):
            raise InputError(f"a mask needs true or false for each of {self.visitors:,} visitors")
        return replace(self, codes={name: values[mask] for name, values in self.codes.items()})

    def to_pandas(self) -> pd.DataFrame:
        """The table as a frame; text columns are categories."""
        import pandas as pd

        return pd.DataFrame(
            {
                name: pd.Categorical.from_codes(values, categories=pd.Index(self.words[name]))
                if name in self.words
                else values
                for name, values in self.codes.items()
            }
        )

    def sheet(self) -> Sheet:
        """The funnel of each arm."""
        steps = ("form", "asked", "verified", "signed_up", "activated", "enrolled")
        heads = ("form", "sent a code", "verified", "signed up", "activated", "enrolled")
        rows = []
        for code, arm in enumerate(self.words["arm"]):
            inside = self.codes["arm"] == code
            n = int(inside.sum())
            shares = [
                percent(float(self.codes[s][inside].mean()), 1) if n else "n/a" for s in steps
            ]
            rows.append((arm, number(n), *shares))
        note = "Shares of all visitors of the arm. Simulated, not measured."
        return Sheet(self.title, ("arm", "visitors", *heads), tuple(rows), note)

    def __repr__(self) -> str:
        return str(self.sheet())

    def _repr_html_(self) -> str:
        return self.sheet().to_html()


def vocabularies(arms: Sequence[str], channels: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The words of the text columns."""
    from twofa_lab.traffic.geography import geography

    return {
        **_FIXED,
        "arm": tuple(arms),
        "channel": tuple(channels),
        "country": tuple(geography().countries),
    }
