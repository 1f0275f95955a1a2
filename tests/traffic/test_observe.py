import numpy as np
import pytest
from scipy import stats

from twofa_lab.traffic.clients import DEVICE_TYPES, clients
from twofa_lab.traffic.geography import geography
from twofa_lab.traffic.networks import HOSTING, ISP, MOBILE, ORGANISATION, networks
from twofa_lab.traffic.simulate import simulate

MS_PER_DAY = 86_400_000
PHONE = DEVICE_TYPES.index("mobile")
STILL = {
    "attacks": {},
    "people__trips_per_year": 0.0,
    "people__vpn_people": 0.0,
    "people__hosting_people": 0.0,
    "people__mobile_network_share": 0.0,
    "people__mobile_hub_share": 0.0,
    "people__work_share": 0.0,
    "people__private_share": 0.0,
    "people__countries": {"US": 1.0},
    "people__device_counts": [1, 0, 0, 0],
    "people__created_share_per_year": 0.0,
}
BUSY = {"people__activity": {"median": 400, "p90": 700, "p99": 1000}}


def world(consumer, days=60, users=300, **changes):
    """Logins of people who do nothing but sit at home, changed in the named ways."""
    made = simulate(consumer.changed(**{**STILL, **BUSY, **changes}), users, days, seed=8)
    (shard,) = made.shards()
    account = np.repeat(np.arange(users), np.diff(shard.starts))
    return shard.logins, shard.people, account


def kind_of(logins):
    """The kind of network of each row, by its address."""
    nets = networks()
    order = np.argsort(nets.start)
    at = np.searchsorted(nets.start[order], logins["ip"], side="right") - 1
    block = order[at]
    assert (logins["ip"] < nets.start[block] + nets.size[block]).all()
    return nets.kind[block]


def distinct(account, values):
    """Distinct values of each account."""
    pairs = np.unique(np.stack([account.astype(np.uint64), values.astype(np.uint64)]), axis=1)
    return np.bincount(pairs[0].astype(int))


def test_who_sits_at_home_with_one_device_looks_the_same_every_time(consumer):
    logins, people, account = world(
        consumer, people__home_lease_days=1e5, people__device_life_days=1e7,
        people__cookie_life_days=1e7,
    )  # fmt: skip
    phone = logins["device_type"] == PHONE  # three in a hundred from elsewhere stay mobile
    at_home = kind_of(logins) == ISP
    assert at_home[~phone].mean() > 0.95
    assert (distinct(account, logins["device_id"]) == 1).all()
    assert (distinct(account[at_home], logins["ip"][at_home]) == 1).mean() > 0.85
    assert (logins["country"] == people["country"][account])[at_home].all()
    assert (logins["city"] == people["city"][account])[at_home].mean() > 0.95


def test_a_home_address_changes_with_its_lease_within_its_block(consumer):
    logins, _, account = world(consumer, people__home_lease_days=10)
    at_home = kind_of(logins) == ISP
    per_account = distinct(account[at_home], logins["ip"][at_home])
    assert 7 <= np.median(per_account) <= 10  # 90 days with the warm-up
    assert (distinct(account[at_home], logins["asn"][at_home]) == 1).mean() > 0.85


def test_devices_live_and_die_at_their_rate(consumer):
    long, short = (
        distinct(*_devices(consumer, people__device_life_days=life, people__cookie_life_days=1e7))
        for life in (1e7, 60.0)
    )
    assert (long == 1).all()
    # replaced at most once: 1 - exp(-90 / 60) of them
    assert np.mean(short == 2) == pytest.approx(1 - np.exp(-1.5), abs=0.1)
    assert short.max() == 2


def _devices(consumer, **changes):
    logins, _, account = world(consumer, **changes)
    return account, logins["device_id"]


def test_cleared_cookies_are_a_new_device_with_the_same_browser(consumer):
    logins, _, account = world(
        consumer, people__cookie_life_days=20, people__device_life_days=1e7,
        people__upgrade_days=1e6,
    )  # fmt: skip
    assert distinct(account, logins["device_id"]).mean() > 2.5
    assert (distinct(account, logins["user_agent"]) == 1).all()


def test_browsers_move_on_and_never_back(consumer):
    logins, _, account = world(consumer, people__upgrade_days=20, people__device_life_days=1e7)
    step = np.diff(logins["user_agent"])[np.diff(account) == 0]
    assert (step >= 0).all()
    assert (step > 0).sum() > 100
    moved = np.flatnonzero((np.diff(logins["user_agent"]) > 0) & (np.diff(account) == 0))
    agents = clients()
    for row in moved[:50].tolist():
        old, new = logins["user_agent"][row : row + 2]
        assert agents.family_last[old] == agents.family_last[new]


def test_a_private_window_is_a_device_nobody_sees_twice(consumer):
    logins, _, _ = world(consumer, people__private_share=0.2, people__device_life_days=1e7,
                         people__cookie_life_days=1e7)  # fmt: skip
    _, counts = np.unique(logins["device_id"], return_counts=True)
    assert (counts == 1).sum() / len(logins["time"]) == pytest.approx(0.2, abs=0.01)


def test_work_networks_are_for_weekday_office_hours(consumer):
    logins, _, account = world(consumer, people__work_share=0.6, people__mobile_first=0.0)
    at_work = kind_of(logins) == ORGANISATION
    local = logins["time"] + logins["utc_offset_min"].astype(np.int64) * 60_000
    hour, weekday = local // 3_600_000 % 24, (local // MS_PER_DAY + 3) % 7
    office = (weekday < 5) & (hour >= 8) & (hour < 18)
    assert not at_work[~office].any()
    assert at_work[office].mean() == pytest.approx(0.6, abs=0.06)
    assert distinct(account[at_work], logins["ip"][at_work]).max() == 1


def test_phones_leave_the_wifi(consumer):
    logins, _, _ = world(consumer, people__mobile_network_share=0.4, people__mobile_first=1.0)
    assert np.mean(kind_of(logins) == MOBILE) == pytest.approx(0.4, abs=0.02)


def test_operators_hubs_hide_the_city(consumer):
    logins, people, account = world(
        consumer, people__mobile_network_share=1.0, people__mobile_first=1.0,
        people__mobile_hub_share=0.3,
    )  # fmt: skip
    elsewhere = logins["city"] != people["city"][account]
    assert elsewhere.mean() == pytest.approx(0.3, abs=0.03)


def test_vpn_users_come_from_hosting_networks_sometimes_abroad(consumer):
    logins, people, account = world(
        consumer, people__vpn_people=1.0, people__vpn_share=0.5, people__vpn_abroad=0.3,
        people__countries={"US": 0.5, "NL": 0.5},
    )  # fmt: skip
    hosting = kind_of(logins) == HOSTING
    assert people["uses_vpn"].all()
    assert hosting.mean() == pytest.approx(0.5, abs=0.04)
    abroad = logins["country"] != people["country"][account]
    assert not abroad[~hosting].any()
    assert abroad[hosting].mean() == pytest.approx(0.15, abs=0.06)  # half of them land at home


def test_travellers_are_seen_where_they_are(consumer):
    changes = {"people__trips_per_year": 12.0, "people__trip_abroad": 1.0,
               "people__trip_days": {"median": 10, "sigma": 0.1}}  # fmt: skip
    logins, people, account = world(consumer, **changes)
    abroad = logins["country"] != people["country"][account]
    many = np.minimum(stats.poisson(12 * 90 / 365).rvs(100_000, random_state=1), 3)
    away = 1 - (1 - 10 / 90 * (1 - 10 / 180)) ** many  # trips overlap and outlast the window
    assert abroad.mean() == pytest.approx(away.mean() * 0.95, abs=0.025)  # 1 in 20 goes to the US
    assert len(np.unique(logins["country"])) > 40


def test_places_are_consistent(plain):
    places = geography()
    country, city = plain.logins["country"], plain.logins["city"]
    region = plain.words("region")
    assert all(r.startswith(f"{c}-") for r, c in zip(region, plain.words("country"), strict=True))
    known = {(int(c), int(n)) for c, n in zip(places.country, places.name, strict=True)}
    assert {(int(c), int(n)) for c, n in zip(country, city, strict=True)} <= known


def test_round_trips_are_measured_at_their_share_and_grow_with_distance(consumer):
    logins, _, _ = world(consumer, rtt_measured=0.5, people__countries={"US": 0.5, "IN": 0.5})
    rtt, measured = logins["rtt_ms"], logins["rtt_ms"] > 0
    assert measured.mean() == pytest.approx(0.5, abs=0.01)
    india = logins["country"] == geography().country_index("IN")
    assert np.median(rtt[measured & india]) > 3 * np.median(rtt[measured & ~india])


def test_listed_addresses_stay_listed_and_have_their_share(attacked, consumer):
    kind = kind_of(attacked.logins)
    ip, first = np.unique(attacked.logins["ip"], return_index=True)
    listed = attacked.logins["ip_listed"]
    by_address = dict(zip(ip.tolist(), listed[first].tolist(), strict=True))
    assert all(by_address[a] == b for a, b in zip(attacked.logins["ip"].tolist(), listed.tolist(),
                                                   strict=True))  # fmt: skip
    for code, name in ((ISP, "isp"), (HOSTING, "hosting")):
        mine = kind[first] == code
        assert listed[first][mine].mean() == pytest.approx(consumer.listed[name], abs=0.03), name
