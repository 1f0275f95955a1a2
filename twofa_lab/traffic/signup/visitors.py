"""Draw visitors with all that would happen to them, whatever the arm.

Each distribution has its own stream, so a draw more in one place changes nothing elsewhere, and a
shard is a pure function of settings, seed and its number. What a visitor *would* do is drawn once:
an answer to each possible prompt, a tolerance for being forced, the day of each attack. An arm only
decides which of it is seen (`funnel.py`). Visitors do not influence each other: no interference.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from twofa_lab.catalog.efficacy import PASS_SHARE
from twofa_lab.risk.policy import Channel
from twofa_lab.tables import LINE_TYPES, NEVER, Array
from twofa_lab.traffic.geography import geography
from twofa_lab.traffic.people import pick
from twofa_lab.traffic.quantiles import SIZE, delay_table, lognormal_table, normal
from twofa_lab.traffic.scenario import Scenario
from twofa_lab.traffic.signup.arms import MOST_PROMPTS
from twofa_lab.traffic.signup.settings import DEVICES, KINDS, SignupSettings
from twofa_lab.traffic.streams import Streams

__all__ = ["Visitors", "attack_kinds", "draw_visitors", "take"]

_PUMPER = KINDS.index("pumper")
_LANDLINE = LINE_TYPES.index("landline")
_CHANNELS: tuple[Channel, ...] = ("sms", "voice")  # to landlines by voice
_FOREVER = np.float32(1e9)


class Visitors(NamedTuple):
    """Parallel arrays of length n, or (n, prompts) and (n, kinds of attack).

    Known before the arms part: `day` of arrival, `cluster` (household or device), `kind`, `device`,
    `channel`, `country`, `intent` (standard deviations), `flagged` by a detector, `earlier_visits`.
    Potential outcomes: normal values for the steps (`form`, `phone`, `tolerance`, `activation`) and
    for the answer to each prompt; uniforms for what has a fixed chance; `code_seconds` until the
    code is there (1e9: never), `sends` it takes, `patience_seconds`, `entry_seconds`; `stay_days`,
    `logins_per_year`, `moment_days` of high engagement; `attack_days` since sign-up and
    `attack_defeats`, uniforms against the catalogue's share of attackers who get past a factor.
    """

    day: Array
    cluster: Array
    kind: Array
    device: Array
    channel: Array
    country: Array
    intent: Array
    flagged: Array
    earlier_visits: Array
    usd_a_message: Array
    form: Array
    phone: Array
    types_code: Array
    code_seconds: Array
    sends: Array
    patience_seconds: Array
    entry_seconds: Array
    tolerance: Array
    forced_pass: Array
    passkey_able: Array
    set_up: Array
    willing: Array
    answers: Array
    annoyed: Array
    activation: Array
    stay_days: Array
    logins_per_year: Array
    moment_days: Array
    attack_days: Array
    attack_defeats: Array
    rounding: Array


def take(visitors: Visitors, index: Array) -> Visitors:
    """The visitors at those positions, in that order."""
    return Visitors._make(column[index] for column in visitors)


def attack_kinds(scenario: Scenario) -> tuple[str, ...]:
    """Kinds of attack an account of these worlds can meet: none has push, so none is bombed."""
    return tuple(kind for kind in scenario.attacks if kind != "push_bombing")


def draw_visitors(n: int, streams: Streams, settings: SignupSettings, base: Scenario) -> Visitors:
    """Draw `n` visitors of one shard; clusters are numbered within it."""
    who = settings.visitors
    cluster = _clusters(n, streams, who.cluster_sizes)
    kind = pick(np.array([who.kinds[k] for k in KINDS]), streams.uniform("kind", n))[cluster]
    names = [*who.channels]
    channel = pick(
        np.array([who.channels[name].share for name in names]), streams.uniform("channel", n)
    )
    device = pick(np.array([who.devices[d] for d in DEVICES]), streams.uniform("device", n))
    shared = normal(streams.uniform("household intent", n))[cluster]
    own = normal(streams.uniform("intent", n))
    r = who.cluster_correlation
    intent = np.float32(np.sqrt(r)) * shared + np.float32(np.sqrt(1.0 - r)) * own
    shift = np.array([who.channels[name].intent for name in names], np.float32)
    country, line, price = _phones(n, streams, settings, base, kind, cluster)
    flagged = np.array([who.flagged[k] for k in KINDS])
    columns = {
        "day": _days(n, streams, settings, base),
        "cluster": cluster,
        "kind": kind.astype(np.int8),
        "device": device.astype(np.int8),
        "channel": channel.astype(np.int8),
        "country": country,
        "intent": intent + shift[channel],
        "flagged": streams.uniform("flagged", n) < flagged[kind],
        "earlier_visits": _earlier(n, streams, settings, intent),
        "usd_a_message": price,
        **_steps(n, streams, settings, device),
        **_code(n, streams, settings, base, country, line),
        **_later(n, streams, settings, base, intent),
        **_attacks(n, streams, base),
    }
    return Visitors(**columns)


def _clusters(n: int, streams: Streams, weights: tuple[float, ...]) -> Array:
    """Visitors of one household stand side by side."""
    sizes = 1 + pick(np.array(weights), streams.uniform("household size", n))
    return np.repeat(np.arange(n), sizes)[:n]


def _days(n: int, streams: Streams, settings: SignupSettings, base: Scenario) -> Array:
    weekdays = np.array(base.calendar.weekdays)
    first = base.start.weekday()
    weights = weekdays[(first + np.arange(settings.days)) % 7]
    return pick(weights, streams.uniform("day", n)).astype(np.int16)


def _phones(
    n: int,
    streams: Streams,
    settings: SignupSettings,
    base: Scenario,
    kind: Array,
    cluster: Array,
) -> tuple[Array, Array, Array]:
    """Country of the phone, kind of line, and what one message to it costs."""
    places, people, costs = geography(), base.people, base.costs
    homes = np.array([places.country_index(code) for code in people.countries])
    pumped = np.array([places.country_index(code) for code in settings.visitors.pumped])
    uniform = streams.uniform("country", n)[cluster]
    home = homes[pick(np.array([*people.countries.values()]), uniform)]
    away = pumped[pick(np.array([*settings.visitors.pumped.values()]), uniform)]
    country = np.where(kind == _PUMPER, away, home).astype(np.int16)
    lines = np.array([people.line_types.get(name, 0.0) for name in LINE_TYPES])  # type: ignore[call-overload]
    line = pick(lines, streams.uniform("line type", n))
    price = np.empty((2, len(places.countries)), np.float32)
    for row, name in enumerate(_CHANNELS):
        price[row] = costs.message[name]
        for code, table in costs.message_by_country.items():
            price[row, places.country_index(code)] = table.get(name, costs.message[name])
    usd = price[(line == _LANDLINE).astype(np.int64), country]
    return country, line, np.where(kind == _PUMPER, np.float32(settings.visitors.pumped_usd), usd)


def _earlier(n: int, streams: Streams, settings: SignupSettings, intent: Array) -> Array:
    """Visits before: Poisson, at a log-normal rate that leans on intent."""
    earlier = settings.visitors.earlier_visits
    own = normal(streams.uniform("earlier rate", n))
    z = earlier.intent * intent + np.sqrt(1.0 - earlier.intent**2) * own
    rate = earlier.mean * np.exp(earlier.sigma * z - 0.5 * earlier.sigma**2)
    return streams.of("earlier visits").poisson(rate).astype(np.int32)


def _steps(n: int, streams: Streams, settings: SignupSettings, device: Array) -> dict[str, Array]:
    able = np.array([settings.enrolment.passkey_able[d] for d in DEVICES])
    prompts = (n, MOST_PROMPTS)
    return {
        "form": normal(streams.uniform("form", n)),
        "phone": normal(streams.uniform("phone", n)),
        "types_code": streams.uniform("types code", n),
        "tolerance": normal(streams.uniform("tolerance", n)),
        "forced_pass": streams.uniform("forced", n),
        "passkey_able": streams.uniform("passkey able", n) < able[device],
        "set_up": streams.uniform("set up", n),
        "willing": normal(streams.uniform("willing", n)),
        "answers": normal(streams.uniform("answers", prompts)),
        "annoyed": streams.uniform("annoyed", prompts),
    }


def _code(
    n: int,
    streams: Streams,
    settings: SignupSettings,
    base: Scenario,
    country: Array,
    line: Array,
) -> dict[str, Array]:
    """When the code is there: by SMS, to a landline by voice, and perhaps by one resend."""
    habits, codes = base.challenge, geography().countries
    slots = [code for code in base.delivery if code != "default"]
    slot = np.zeros(len(codes), np.int64)
    for index, code in enumerate(slots):
        slot[codes.index(code)] = index + 1
    default = base.delivery["default"]
    carriers = [{**default, **base.delivery[code]} for code in ("default", *slots)]
    delays = np.array(
        [
            [
                delay_table(c.loss, c.seconds.median, c.seconds.sigma)
                for c in (table[name] for table in carriers)
            ]
            for name in _CHANNELS
        ]
    )  # fmt: skip
    voice, at = (line == _LANDLINE).astype(np.int64), slot[country]

    def arrival(name: str) -> Array:
        ds = delays[voice, at, (streams.uniform(name, n) * SIZE).astype(np.int64)]
        return np.where(ds == NEVER, _FOREVER, ds * np.float32(0.1))

    first, second = arrival("code"), arrival("second code")
    late = np.float32(settings.funnel.resend_seconds)
    asks = (first > late) & (streams.uniform("resends", n) < habits.resends)
    entries = _quantile(lognormal_table(habits.entry_seconds.median, habits.entry_seconds.sigma),
                        streams.uniform("entry", n))  # fmt: skip
    wrong = streams.uniform("wrong code", n) < habits.wrong_code
    waits = _quantile(
        lognormal_table(habits.patience_seconds.median, habits.patience_seconds.sigma),
        streams.uniform("patience", n),
    )
    return {
        "code_seconds": np.where(asks, np.minimum(first, late + second), first),
        "sends": np.where(asks, 2, 1).astype(np.uint8),
        "patience_seconds": waits,
        "entry_seconds": entries * np.where(wrong, np.float32(2.0), np.float32(1.0)),
    }


def _later(
    n: int, streams: Streams, settings: SignupSettings, base: Scenario, intent: Array
) -> dict[str, Array]:
    """Activation, stay and activity, which lean on intent."""
    after, activity = settings.afterwards, base.people.activity
    r, rest = np.float32(after.intent), np.float32(np.sqrt(1.0 - after.intent**2))

    def leaning(name: str) -> Array:
        return r * intent + rest * normal(streams.uniform(name, n))

    gaps = -np.log1p(-streams.uniform("moments", (n, MOST_PROMPTS)))
    # who logs in more has more such moments
    activity_z = leaning("activity")
    pace = np.float32(after.engaged_every_days) * np.exp(np.float32(-0.5) * activity_z)
    return {
        "activation": leaning("activation"),
        "stay_days": np.float32(after.stay_days.median)
        * np.exp(np.float32(after.stay_days.sigma) * leaning("stay")),
        "logins_per_year": np.float32(activity.median)
        * np.exp(np.float32(activity.sigma) * activity_z),
        "moment_days": np.cumsum(gaps, axis=1) * pace[:, None],
    }


def _attacks(n: int, streams: Streams, base: Scenario) -> dict[str, Array]:
    """The first day on which an attacker of each kind holds the right password, and how able.

    First arrivals of a Poisson process with the scenario's rate: reach times the share of hits
    with the right password.
    """
    kinds = attack_kinds(base)
    rates = [base.attacks[k].reach_per_year * base.attacks[k].password_right for k in kinds]
    if not set(kinds) <= set(PASS_SHARE):
        raise AssertionError("the catalogue does not know every kind of attack")
    shape = (n, len(kinds))
    waits = -np.log1p(-streams.uniform("attacks", shape))
    with np.errstate(divide="ignore"):
        days = np.float32(365.0) * waits / np.array(rates, np.float32)
    return {
        "attack_days": np.minimum(days, _FOREVER),
        "attack_defeats": streams.uniform("defeats", shape),
        "rounding": streams.uniform("rounding", (n, 4)),
    }


def _quantile(table: Array, uniform: Array) -> Array:
    return table.astype(np.float32)[(uniform * SIZE).astype(np.int64)]
