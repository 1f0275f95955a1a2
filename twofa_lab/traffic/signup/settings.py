"""A sign-up world's settings: who comes, what they do at each step, and what follows.

The same rules as for a scenario: unknown keys are refused, and every figure of a shipped file names
its source or says "assumption". What a scenario holds already (countries, phones, delivery, prices,
attackers) is taken from the one named in `scenario`.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from twofa_lab.errors import InputError
from twofa_lab.risk.policy import input_error, read_yaml
from twofa_lab.traffic.geography import geography
from twofa_lab.traffic.scenario import Share, Spread, Weight

__all__ = [
    "DEVICES",
    "FACTOR_CHOICES",
    "FACTOR_OR_NONE",
    "IMPOSTORS",
    "KINDS",
    "SignupSettings",
    "signup_names",
]

Device = Literal["mobile", "desktop", "tablet"]
Impostor = Literal["bot", "fraudster", "pumper"]
Kind = Literal["person"] | Impostor
Factor = Literal["sms", "totp", "passkey"]
FactorOrNone = Literal["none"] | Factor

IMPOSTORS: tuple[Impostor, ...] = ("bot", "fraudster", "pumper")
KINDS: tuple[Kind, ...] = ("person", *IMPOSTORS)
"""Who a visitor is: a person, a script, somebody after a false account, or one paid by message."""

DEVICES: tuple[Device, ...] = ("mobile", "desktop", "tablet")
FACTOR_CHOICES: tuple[Factor, ...] = ("sms", "totp", "passkey")
"""Factors an arm can ask for."""

FACTOR_OR_NONE: tuple[FactorOrNone, ...] = ("none", *FACTOR_CHOICES)
"""The factors as codes of the `signups` table."""

Shift = Annotated[float, Field(ge=-3.0, le=3.0)]  # standard deviations


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Source(_Strict):
    """Where visitors come from: their share, and by how much their intent differs."""

    share: Weight
    intent: Shift


class EarlierVisits(_Strict):
    """Visits before the experiment: mean, spread of the logarithm, correlation with intent."""

    mean: Annotated[float, Field(gt=0.0, le=100.0)]
    sigma: Annotated[float, Field(ge=0.0, le=2.0)]
    intent: Share


class Visitors(_Strict):
    """Who comes. `pumped`: where the numbers of SMS pumpers are."""

    kinds: dict[Kind, Weight]
    devices: dict[Device, Weight]
    channels: dict[str, Source]
    cluster_sizes: tuple[Weight, Weight, Weight, Weight]
    cluster_correlation: Share
    earlier_visits: EarlierVisits
    flagged: dict[Kind, Share]
    pumped: dict[str, Weight]
    pumped_usd: Annotated[float, Field(ge=0.0, le=10.0)]


class Funnel(_Strict):
    """From landing to a verified phone."""

    intent: Share
    completes_form: dict[Kind, Share]
    gives_phone: dict[Kind, Share]
    types_code: dict[Impostor, Share]
    resend_seconds: Annotated[float, Field(gt=0.0, le=600.0)]
    most_sends: Annotated[int, Field(ge=1, le=20)]


class Enrolment(_Strict):
    """How people take being asked for a factor."""

    forced_leaves: dict[Factor, Share]
    forced_passed: dict[Literal["bot", "fraudster"], dict[Factor, Share]]
    tolerance: dict[Device, Shift]
    teething: Annotated[float, Field(ge=0.0, le=3.0)]
    teething_days: Annotated[float, Field(gt=0.0, le=365.0)]
    offered: dict[Factor, Share]
    prompted: dict[Factor, Share]
    engaged: dict[Factor, Share]
    wording: Annotated[float, Field(ge=0.0, le=3.0)]
    per_usd: Annotated[float, Field(ge=0.0, le=1.0)]
    steadiness: Share
    tired: Annotated[float, Field(ge=0.0, le=3.0)]
    prompt_leaves: Share
    wording_leaves: Annotated[float, Field(ge=0.0, le=100.0)]
    set_up_works: dict[Factor, Share]
    passkey_able: dict[Device, Share]
    seconds: dict[Factor, Annotated[float, Field(ge=0.0, le=3_600.0)]]


class Afterwards(_Strict):
    """What follows a sign-up."""

    activates: Share
    intent: Share
    slowed: Annotated[float, Field(ge=0.0, le=3.0)]
    stay_days: Spread
    engaged_every_days: Annotated[float, Field(gt=0.0, le=365.0)]
    challenged: Share
    succeeds: dict[Factor, Share]
    tickets_per_year: dict[FactorOrNone, Weight]


class SignupSettings(_Strict):
    """A sign-up world's description; see the shipped YAML file for an annotated example."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,60}$")]
    title: str
    scenario: str
    days: Annotated[int, Field(ge=1, le=366)]
    followed_days: Annotated[int, Field(ge=30, le=3_650)]
    visitors: Visitors
    funnel: Funnel
    enrolment: Enrolment
    afterwards: Afterwards

    @model_validator(mode="after")
    def _possible(self) -> SignupSettings:
        for path, table in _tables(self).items():
            wanted = _keys_of(path)
            if set(table) != set(wanted):
                raise ValueError(f"{path}: needs a figure for each of {', '.join(wanted)}")
        weights = {
            "visitors.kinds": [*self.visitors.kinds.values()],
            "visitors.devices": [*self.visitors.devices.values()],
            "visitors.channels": [source.share for source in self.visitors.channels.values()],
            "visitors.cluster_sizes": [*self.visitors.cluster_sizes],
            "visitors.pumped": [*self.visitors.pumped.values()],
        }
        for path, values in weights.items():
            if sum(values) <= 0:
                raise ValueError(f"{path}: the weights must not all be zero")
        for code in self.visitors.pumped:
            if code not in geography().countries:
                raise ValueError(f"visitors.pumped: no country {code!r} (ISO 3166 alpha-2)")
        return self

    @classmethod
    def load(cls, source: str | Path) -> SignupSettings:
        """Shipped settings by name, or those of a YAML file.

        >>> SignupSettings.load("us-consumer").followed_days
        180
        """
        path = Path(source)
        if str(source) in signup_names():
            path = Path(str(files(__package__) / f"{source}.yaml"))
        elif not path.is_file():
            raise InputError(
                f"no sign-up settings {str(source)!r}: name one of {', '.join(signup_names())} "
                "or a YAML file"
            )
        try:
            return cls.model_validate(read_yaml(path))
        except ValidationError as error:
            raise input_error(path, error) from None


def signup_names() -> list[str]:
    """Names of the settings that ship with the package."""
    folder = files(__package__)
    return sorted(str(i.name)[:-5] for i in folder.iterdir() if i.name.endswith(".yaml"))


def _tables(settings: SignupSettings) -> dict[str, dict[str, object]]:
    """Every table keyed by kind, device or factor, by its path."""
    found: dict[str, dict[str, object]] = {}
    for part in ("visitors", "funnel", "enrolment", "afterwards"):
        for name, value in getattr(settings, part):
            if isinstance(value, dict) and name not in ("channels", "pumped"):
                found[f"{part}.{name}"] = value
    for kind, table in settings.enrolment.forced_passed.items():
        found[f"enrolment.forced_passed.{kind}"] = {str(f): share for f, share in table.items()}
    return found


def _keys_of(path: str) -> tuple[str, ...]:
    special: dict[str, tuple[str, ...]] = {
        "funnel.types_code": IMPOSTORS,
        "enrolment.forced_passed": ("bot", "fraudster"),
        "afterwards.tickets_per_year": FACTOR_OR_NONE,
    }
    by_kind = ("kinds", "flagged", "completes_form", "gives_phone")
    by_device = ("devices", "tolerance", "passkey_able")
    if path in special:
        return special[path]
    name = path.split(".")[1]
    return KINDS if name in by_kind else DEVICES if name in by_device else FACTOR_CHOICES
