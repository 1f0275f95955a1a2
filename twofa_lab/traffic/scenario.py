"""A scenario: everything a world is made of, as a validated YAML file.

Unknown keys are refused. Every figure in the shipped files carries a comment that names its source
or says "assumption". Shares are fractions of one, times are in the unit their name ends in.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from twofa_lab.catalog.efficacy import PASS_SHARE
from twofa_lab.errors import InputError
from twofa_lab.risk.policy import Channel, input_error, read_yaml
from twofa_lab.traffic.geography import geography

__all__ = ["Activity", "Attack", "Costs", "Incident", "Scenario", "scenario_names"]

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0, le=1e9)]
Logins = Annotated[float, Field(gt=0.0, le=100_000.0)]  # a year: one every five minutes
Weight = Annotated[float, Field(ge=0.0, le=1e9)]
Price = Annotated[float, Field(ge=0.0, le=100.0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Spread(_Strict):
    """A log-normal: its median, and the standard deviation of its logarithm."""

    median: Positive
    sigma: Annotated[float, Field(ge=0.0, le=3.0)]


class Activity(_Strict):
    """Logins a year per account, heavy-tailed: three published quantiles.

    The shape is a log-normal rounded to whole logins, at least one. With the public data set's 2,
    9 and 28 it also gives that set's share of accounts with exactly one login (39.7 %).

    >>> activity = Activity(median=2, p90=9, p99=28)
    >>> round(activity.sigma, 2), round(activity.share_of_one(), 2)
    (1.14, 0.4)
    """

    median: Logins
    p90: Logins
    p99: Logins

    @model_validator(mode="after")
    def _ordered(self) -> Activity:
        if not self.median < self.p90 < self.p99:
            raise ValueError("needs median < p90 < p99")
        return self

    @property
    def sigma(self) -> float:
        """Least-squares slope of the log quantiles over the normal's, through the median."""
        z = np.array([1.2815515655446004, 2.3263478740408408])
        y = np.log(np.array([self.p90, self.p99]) / self.median)
        return float(z @ y / (z @ z))

    def share_of_one(self) -> float:
        """Share of accounts with exactly one login in a year."""
        from scipy.stats import norm

        return float(norm.cdf(np.log(1.5 / self.median) / self.sigma))


class People(_Strict):
    """Who the accounts belong to."""

    countries: dict[str, Weight]
    activity: Activity
    created_share_per_year: Share
    device_counts: tuple[Weight, Weight, Weight, Weight]
    mobile_first: Share
    tablet_share: Share
    device_life_days: Positive
    upgrade_days: Positive
    cookie_life_days: Positive
    private_share: Share
    mobile_network_share: Share
    mobile_hub_share: Share
    work_share: Share
    home_lease_days: Positive
    vpn_people: Share
    vpn_share: Share
    vpn_abroad: Share
    hosting_people: Share
    trips_per_year: Annotated[float, Field(ge=0.0, le=50.0)]
    trip_days: Spread
    trip_abroad: Share
    line_types: dict[Literal["mobile", "landline", "voip"], Weight]
    whatsapp: dict[str, Share]
    factors: dict[Literal["totp", "push", "passkey", "hardware_key"], Share]
    slip_rate: Share
    forgotten_share: Share


class Challenge(_Strict):
    """How people act at a challenge."""

    patience_seconds: Spread
    entry_seconds: Spread
    wrong_code: Share
    phone_at_hand_on_mobile: Share
    phone_at_hand_elsewhere: Share
    trusts_device: Share
    resends: Share
    passkey_works: Share


class Calendar(_Strict):
    """The rhythm of days and weeks, on the person's own clock. `weeks`: how many people live by
    `weekdays`, by a week that leans to the weekend, and by an even one.
    """

    hours: Annotated[tuple[Weight, ...], Field(min_length=24, max_length=24)]
    weekdays: Annotated[tuple[Weight, ...], Field(min_length=7, max_length=7)]
    weeks: tuple[Weight, Weight, Weight]
    holiday_factor: Weight
    growth_per_year: Annotated[float, Field(ge=-0.9, le=10.0)]
    habit_share: Share
    habit_spread_hours: Annotated[float, Field(gt=0.0, le=6.0)]


class Carrier(_Strict):
    """One channel in one country: share of messages lost, and how long the others take."""

    loss: Share
    seconds: Spread


class Incident(_Strict):
    """A carrier outage: from `day` (of the world) at `hour` UTC, for `hours`, the channel loses
    `loss` more of its messages in these countries (empty: everywhere) and takes `slower` times as
    long.
    """

    kind: Literal["carrier_outage"]
    channel: Channel
    countries: tuple[str, ...] = ()
    day: Annotated[int, Field(ge=0, le=10_000)]
    hour: Annotated[float, Field(ge=0.0, lt=24.0)]
    hours: Annotated[float, Field(gt=0.0, le=720.0)]
    loss: Share
    slower: Annotated[float, Field(ge=1.0, le=100.0)] = 1.0


class Attack(_Strict):
    """One kind of attacker: means, volume and rhythm.

    `reach_per_year`: accounts hit a year, as a share of all; `campaigns_per_year`: 0 spreads the
    hits evenly. A hit is `attempts` passwords on average, `gap_seconds` apart; the password is
    right in `password_right` of the hits; one who has it comes back `returns` times on average.
    `wave_days`: further campaigns that start on these days of the world.
    """

    reach_per_year: Annotated[float, Field(ge=0.0, le=50.0)]
    campaigns_per_year: Annotated[float, Field(ge=0.0, le=365.0)] = 0.0
    campaign_hours: Positive = 24.0
    attempts: Annotated[float, Field(ge=1.0, le=300.0)] = 1.0
    gap_seconds: Positive = 10.0
    password_right: Share
    returns: Annotated[float, Field(ge=0.0, le=20.0)] = 0.0
    same_country: Share = 0.0
    network: tuple[Weight, Weight, Weight] = (1.0, 0.0, 0.0)
    wave_days: tuple[Annotated[int, Field(ge=0, le=10_000)], ...] = ()


class Costs(_Strict):
    """What things cost, in US$; channel prices may differ by country of the phone."""

    message: dict[Channel, Price]
    message_by_country: dict[str, dict[Channel, Price]] = {}
    support_ticket: Weight
    tickets_per_lost_login: Share
    lost_login: Weight
    takeover: Weight


class Scenario(_Strict):
    """A world's description; see the shipped YAML files for an annotated example."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,60}$")]
    title: str
    start: Annotated[date, Field(ge=date(1990, 1, 1), le=date(2100, 1, 1))]
    warmup_days: Annotated[int, Field(ge=0, le=400)]
    service_city: str
    rtt_measured: Share
    listed: dict[Literal["isp", "mobile", "hosting", "organisation"], Share]
    people: People
    challenge: Challenge
    calendar: Calendar
    delivery: dict[str, dict[Channel, Carrier]]
    incidents: tuple[Incident, ...] = ()
    attackers_from: dict[str, Weight]
    attacks: dict[str, Attack]
    costs: Costs

    @model_validator(mode="before")
    @classmethod
    def _norway(cls, content: Any) -> Any:
        if _has_false_key(content):
            raise ValueError('YAML reads NO as "false": write "NO" in quotes for Norway')
        return content

    @model_validator(mode="after")
    def _possible(self) -> Scenario:
        _check_countries(self)
        unknown = set(self.attacks) - set(PASS_SHARE)
        if unknown:
            raise ValueError(f"attacks: no kind {min(unknown)!r}: use {', '.join(PASS_SHARE)}")
        default = self.delivery.get("default", {})
        if set(default) != {"whatsapp", "sms", "voice"}:
            raise ValueError("delivery.default must describe whatsapp, sms and voice")
        if "default" not in self.people.whatsapp:
            raise ValueError("people.whatsapp needs a default share")
        _check_weights(self)
        if self.people.vpn_people + self.people.hosting_people > 1.0:
            raise ValueError("people: vpn_people and hosting_people add up to more than one")
        if set(self.costs.message) != {"whatsapp", "sms", "voice"}:
            raise ValueError("costs.message must price whatsapp, sms and voice")
        return self

    @classmethod
    def load(cls, source: str | Path) -> Scenario:
        """A shipped scenario by name, or one from a YAML file.

        >>> Scenario.load("us-consumer").people.factors["totp"] > 0
        True
        """
        path = Path(str(files("twofa_lab.traffic") / "scenarios" / f"{source}.yaml"))
        if str(source) not in scenario_names():
            path = Path(source)
            if not path.is_file():
                raise InputError(
                    f"no scenario {str(source)!r}: name one of {', '.join(scenario_names())} "
                    "or a YAML file"
                )
        content = read_yaml(path)
        try:
            return cls.model_validate(content)
        except (ValidationError, InputError) as error:
            raise input_error(path, error) from None

    def changed(self, **settings: object) -> Scenario:
        """A copy with some settings replaced, by dotted path with `__` for the dot; validated.

        >>> Scenario.load("us-consumer").changed(people__slip_rate=0.5).people.slip_rate
        0.5
        """
        content = self.model_dump(mode="json")
        for key, value in settings.items():
            *path, last = key.split("__")
            part = content
            for name in path:
                part = part.get(name) if isinstance(part, dict) else None  # type: ignore[assignment]
            if not isinstance(part, dict) or last not in part:
                raise InputError(f"scenario {self.name} has no setting {key.replace('__', '.')}")
            part[last] = value
        try:
            return Scenario.model_validate(content)
        except ValidationError as error:
            raise input_error(f"scenario {self.name}", error) from None


def _has_false_key(content: object) -> bool:
    if not isinstance(content, dict):
        return False
    return any(key is False or _has_false_key(value) for key, value in content.items())


def _check_weights(scenario: Scenario) -> None:
    people, calendar = scenario.people, scenario.calendar
    weights: dict[str, Iterable[float]] = {
        "people.countries": people.countries.values(),
        "people.line_types": people.line_types.values(),
        "people.device_counts": people.device_counts,
        "calendar.hours": calendar.hours,
        "calendar.weekdays": calendar.weekdays,
        "calendar.weeks": calendar.weeks,
    }
    if scenario.attacks:
        weights["attackers_from"] = scenario.attackers_from.values()
    for kind, attack in scenario.attacks.items():
        weights[f"attacks.{kind}.network"] = attack.network
    for key, values in weights.items():
        if sum(values) <= 0:
            raise ValueError(f"{key}: the weights must not all be zero")


def _check_countries(scenario: Scenario) -> None:
    places = geography()
    tables: dict[str, Iterable[str]] = {
        "people.countries": scenario.people.countries,
        "people.whatsapp": scenario.people.whatsapp,
        "delivery": scenario.delivery,
        "attackers_from": scenario.attackers_from,
        "costs.message_by_country": scenario.costs.message_by_country,
        "incidents": [c for incident in scenario.incidents for c in incident.countries],
    }
    for key, codes in tables.items():
        for code in codes:
            if code == "default":
                continue
            if code not in places.countries:
                raise ValueError(f"{key}: no country {code!r} (ISO 3166 alpha-2, such as US)")
            if (
                key.endswith(("countries", "from"))
                and places.largest[places.countries.index(code)] < 0
            ):
                raise ValueError(f"{key}: {code} has no city of 15,000 people to live in")
    country, _, name = scenario.service_city.partition(":")
    if country not in places.countries or name not in places.names:
        raise ValueError("service_city: write it as country:city, such as US:Ashburn")


def scenario_names() -> list[str]:
    """Names of the scenarios that ship with the package, the default first."""
    folder = files("twofa_lab.traffic") / "scenarios"
    found = sorted(str(item.name)[:-5] for item in folder.iterdir() if item.name.endswith(".yaml"))
    return sorted(found, key=lambda name: name != "us-consumer")
