"""The richer signals against their definitions, asked anew of the list of completed logins."""

from __future__ import annotations

import math
import statistics
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.risk.past import DAY, HOUR, MINUTE, NOON
from twofa_lab.risk.features import (
    EARTH_KM,
    Features,
    browser_families,
    distance_km,
    new_feature_past,
    read_features,
    record_features,
    start_feature_past,
)

OSLO, BERGEN, LIMA = (59.91, 10.75), (60.39, 5.32), (-12.05, -77.04)
NOWHERE = (math.nan, math.nan)
Login = dict[str, Any]


def arc_km(a: tuple[float, float], b: tuple[float, float]) -> float:
    """The angle between two unit vectors, times the radius."""
    x, y = (
        np.array([
            math.cos(math.radians(lat)) * math.cos(math.radians(lon)),
            math.cos(math.radians(lat)) * math.sin(math.radians(lon)),
            math.sin(math.radians(lat)),
        ])
        for lat, lon in (a, b)
    )  # fmt: skip
    return EARTH_KM * math.atan2(float(np.linalg.norm(np.cross(x, y))), float(x @ y))


def expected(before: list[Login], login: Login) -> Features:
    placed = [other for other in before if not math.isnan(other["place"][0])]
    kmh = 0.0
    if placed and not math.isnan(login["place"][0]):
        km = arc_km(placed[-1]["place"], login["place"])
        if km >= 100:
            kmh = km / (max(login["time"] - placed[-1]["time"], MINUTE) / HOUR)
    logs = [math.log(other["rtt"]) for other in before if other["rtt"]]
    deviation = 0.0
    if len(logs) >= 5 and login["rtt"]:
        spread = max(statistics.stdev(logs), 0.1)
        deviation = abs(math.log(login["rtt"]) - statistics.fmean(logs)) / spread
    asns = {other["asn"] for other in before if other["asn"] >= 0}
    families = {other["family"] for other in before if other["family"] >= 0}
    return Features(
        kmh,
        bool(asns) and login["asn"] >= 0 and login["asn"] not in asns,
        bool(families) and login["family"] >= 0 and login["family"] not in families,
        deviation,
        login["time"] - before[0]["time"] if before else -1,
        login["time"] - before[-1]["time"] if before else -1,
    )


LOGINS = st.fixed_dictionaries(
    {
        "step": st.sampled_from([0, 1, MINUTE, HOUR, DAY, 300 * DAY]),
        "asn": st.integers(-1, 3),
        "family": st.integers(-1, 2),
        "place": st.sampled_from([OSLO, OSLO, BERGEN, LIMA, NOWHERE, (60.0, 10.8)]),
        "rtt": st.sampled_from([0, 1, 40, 45, 50, 900, 65_534]),
        "completed": st.booleans(),
    }
)


@settings(max_examples=40)
@given(st.lists(st.lists(LOGINS, max_size=15), max_size=3))
def test_each_feature_is_what_its_definition_says(accounts: list[list[Login]]) -> None:
    """One workspace, account after account; a login that was not completed leaves nothing."""
    past = new_feature_past(asns=4, families=3)
    for logins in accounts:
        start_feature_past(past)
        before: list[Login] = []
        time = NOON
        for drawn in logins:
            time += drawn["step"]
            login = {**drawn, "time": time}
            facts = (time, login["asn"], login["family"], *login["place"], login["rtt"])
            assert tuple(read_features(past, *facts)) == pytest.approx(
                tuple(expected(before, login)), rel=1e-7, abs=1e-9
            )
            if login["completed"]:
                record_features(past, *facts)
                before.append(login)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (OSLO, BERGEN), (OSLO, LIMA), (LIMA, LIMA), ((0, 179.9), (0, -179.9)), ((90, 0), (-90, 7)),
    ],
)  # fmt: skip
def test_distances_hold_over_poles_and_the_date_line(
    a: tuple[float, float], b: tuple[float, float]
) -> None:
    assert distance_km(*map(float, a), *map(float, b)) == pytest.approx(arc_km(a, b), abs=1e-3)


def test_a_flight_is_slower_than_a_second_address() -> None:
    past = new_feature_past(1, 1)
    start_feature_past(past)
    record_features(past, NOON, 0, 0, *OSLO, 0)
    by_air = read_features(past, NOON + 16 * HOUR, 0, 0, *LIMA, 0).travel_kmh
    at_once = read_features(past, NOON + MINUTE, 0, 0, *LIMA, 0).travel_kmh
    assert 600 < by_air < 900
    assert at_once > 500_000


def test_browser_families_are_names_without_versions() -> None:
    texts = ["Chrome 80.0.1", "Chrome Mobile WebView 85.0", "Chrome 81", "Opera/9.80", "7", "Edge"]
    codes, names = browser_families(texts)
    assert [names[code] for code in codes] == [
        "Chrome", "Chrome Mobile WebView", "Chrome", "Opera", "7", "Edge",
    ]  # fmt: skip
    assert browser_families([])[1] == ()
