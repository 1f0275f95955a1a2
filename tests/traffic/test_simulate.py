import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from twofa_lab.errors import InputError
from twofa_lab.tables import LOGINS, PEOPLE
from twofa_lab.traffic.addresses import packaged_addresses
from twofa_lab.traffic.calendar import make_clock
from twofa_lab.traffic.clients import clients
from twofa_lab.traffic.geography import geography
from twofa_lab.traffic.layout import session_times
from twofa_lab.traffic.networks import networks
from twofa_lab.traffic.people import Mix, draw_actors
from twofa_lab.traffic.simulate import Plan, make_shard, simulate
from twofa_lab.traffic.streams import Streams

from .test_shards import Backwards

BUSY = {"median": 4000, "p90": 9000, "p99": 20000}


# --- the same seed, the same bits


@pytest.fixture
def several(small_shards, consumer):
    """Five shards, the last not full."""
    return simulate(consumer, users=4 * small_shards + 10, days=20, seed=3, workers=1)


def test_the_same_seed_gives_the_same_bits_whatever_the_workers(several, same, consumer):
    assert len(several.source) == 5
    for workers in (1, 4):
        same(several, simulate(consumer, users=266, days=20, seed=3, workers=workers))


def test_the_executor_and_the_order_of_shards_do_not_matter(several, same, consumer):
    with ThreadPoolExecutor(3) as threads:
        same(several, simulate(consumer, users=266, days=20, seed=3, executor=threads))
    same(several, simulate(consumer, users=266, days=20, seed=3, executor=Backwards()))


def test_processes_give_the_same_bits(same, consumer):
    # tasks are picklable and a fresh process draws the same; its shards have their natural size
    busy = consumer.changed(people__activity=BUSY, warmup_days=0)
    plan = Plan(busy, 1, 1, 3)
    users = plan.accounts_per_shard // 8
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as processes:
        there = simulate(busy, users=users, days=1, seed=3, executor=processes)
    same(simulate(busy, users=users, days=1, seed=3), there)


def test_memory_and_parquet_hold_the_same_bits(several, same, consumer, tmp_path):
    disk = simulate(consumer, users=266, days=20, seed=3, out=tmp_path / "run", workers=3)
    same(several, disk)


def test_another_seed_gives_another_world(several, consumer):
    other = simulate(consumer, users=266, days=20, seed=4)
    assert other.facts.fingerprint != several.facts.fingerprint
    for name in ("time", "ip", "device_id", "po_sms_ds", "user_agent"):
        one, two = (w.source.load(0, None).logins[name] for w in (several, other))
        assert not np.array_equal(one, two), name


def test_more_users_only_add_shards(several, small_shards, same, consumer):
    more = simulate(consumer, users=6 * small_shards, days=20, seed=3)
    for index in range(4):  # the fifth was not full
        a, b = several.source.load(index, None), more.source.load(index, None)
        for name, values in a.logins.items():
            np.testing.assert_array_equal(values, b.logins[name], err_msg=name)
        for name, values in a.people.items():
            np.testing.assert_array_equal(values, b.people[name], err_msg=name)


def test_shards_are_different_people(several):
    one, two = several.source.load(0, None), several.source.load(1, None)
    for name in ("created", "patience", "city", "logins_per_year"):
        assert not np.array_equal(one.people[name], two.people[name]), name
    assert two.people["user_id"][0] == one.people["user_id"][-1] + 1


@pytest.mark.parametrize(
    ("stream", "changes"),
    [
        ("seen rtt", {"rtt_ms"}),
        ("seen measured", {"rtt_ms"}),
        ("challenge entry", {"po_entry_ds"}),
        ("challenge sms", {"po_sms_ds"}),
        ("challenge wrong", {"po_wrong_codes"}),
        ("patience", {"po_patience_ds"}),
        ("skill", {"po_entry_ds"}),
        ("seen private", {"device_id"}),
        ("raid/sim_swap/skill", {"po_defeats"}),
        ("device key", {"device_id"}),
        ("seen place", {"ip", "asn", "country", "region", "city", "ip_listed", "rtt_ms"}),
        ("whatsapp", {"po_resend_ds"}),
        ("line type", {"po_resend_ds"}),
        ("factor totp", set()),
    ],
)
def test_an_extra_draw_in_one_place_changes_nothing_elsewhere(
    stream, changes, consumer, monkeypatch
):
    scenario = consumer.changed(
        attacks={**consumer.model_dump(mode="json")["attacks"],
                 "sim_swap": {"reach_per_year": 2.0, "password_right": 0.9}}
    )  # fmt: skip
    plan = Plan(scenario, 250, 14, 5)
    before = make_shard(plan, 0)
    of = Streams.of

    def one_more(self, name):
        generator = of(self, name)
        if self.prefix + name == stream:
            generator.random()
        return generator

    monkeypatch.setattr(Streams, "of", one_more)
    after = make_shard(plan, 0)
    differ = {n for n, v in before.logins.items() if not np.array_equal(v, after.logins[n])}
    assert differ <= changes
    assert differ or not changes


def test_streams_are_independent():
    names = ["day", "hour", "minute", "seen rtt", "challenge sms", "raid/targeted/skill"]
    draws = [Streams(7, shard).uniform(name, 20_000) for name in names for shard in (0, 1)]
    draws += [Streams(8, 0).uniform("day", 20_000)]
    correlation = np.corrcoef(draws) - np.eye(len(draws))
    assert np.abs(correlation).max() < 4.5 / np.sqrt(20_000)


def test_a_named_part_has_streams_of_its_own():
    whole, part = Streams(7, 0), Streams(7, 0).named("raid")
    assert part.of("day").random() != whole.of("day").random()
    assert part.of("day").random() == whole.of("raid/day").random()


# --- the tables


def test_the_tables_have_every_column(plain):
    for shard in plain.world.shards():
        LOGINS.check(shard.logins, LOGINS.names)
        PEOPLE.check(shard.people, PEOPLE.names)
        assert shard.rows == len(shard.logins["time"])


def test_logins_lie_account_major(attacked):
    user, time = attacked.logins["user_id"], attacked.logins["time"]
    assert (np.diff(user) >= 0).all()
    assert (np.diff(time)[np.diff(user) == 0] >= 0).all()
    for shard in attacked.world.shards():
        account = np.repeat(shard.people["user_id"], np.diff(shard.starts))
        np.testing.assert_array_equal(account, shard.logins["user_id"])
        np.testing.assert_array_equal(np.diff(shard.logins["login_id"]), 1)


@pytest.mark.parametrize("world", ["plain", "attacked"])
def test_an_account_begins_with_its_sign_up_and_has_no_row_before(world, request, consumer):
    rows = request.getfixturevalue(world)
    created = rows.people["created"][rows.account]
    assert (rows.logins["time"] >= created).all()
    start = rows.world.facts.window[0] - consumer.warmup_days * 86_400_000
    new = rows.people["created"] >= start
    signup = rows.logins["signup"]
    assert signup.sum() == new.sum() > 100
    first = np.concatenate(([True], np.diff(rows.logins["user_id"]) != 0))
    assert first[signup].all()
    assert (rows.logins["time"][signup] == created[signup]).all()
    assert rows.logins["password_ok"][signup].all()


def test_long_worlds_keep_new_accounts_in_their_life(consumer):
    # product of two spans of a year in milliseconds overflows 64 bits
    world = simulate(consumer.changed(people__created_share_per_year=0.9), 300, 700, seed=2)
    for shard in world.shards():
        created = np.repeat(shard.people["created"], np.diff(shard.starts))
        assert (shard.logins["time"] >= created).all()


def test_slips_and_a_reset_fit_between_sign_up_and_first_login(consumer):
    clock = make_clock(consumer, 10)
    window = (clock.start, clock.end)
    sources = (geography(), networks(), clients())
    actors = draw_actors(50, Streams(1, 0), consumer, Mix({"US": 1.0}), window, sources)
    created = np.linspace(clock.start, clock.end - 3_600_000, 50).astype(np.int64)
    zero, times = np.zeros(50, np.float32), np.empty(50, np.int64)
    session_times(clock, actors, geography().zone, np.arange(51), created, zero, zero, zero, times)
    longest = 5 * 13_000 + 150_000
    assert (times >= created + longest).all()
    assert (times < clock.end).all()


def test_new_accounts_log_in_at_their_own_rate_by_their_own_clock(consumer):
    scenario = consumer.changed(people__created_share_per_year=1.0, attacks={})
    world = simulate(scenario, 3_000, 300, seed=2)
    (shard,) = world.shards()
    rows, people = shard.logins, shard.people
    new = people["created"] > world.facts.window[0]
    end = world.facts.window[1]
    years = (end - np.maximum(people["created"], world.facts.window[0])) / 86_400_000 / 365.0
    counted = rows["password_ok"] & ~rows["signup"] & (rows["time"] >= world.facts.window[0])
    count = np.add.reduceat(counted.astype(int), shard.starts[:-1])
    expected = people["logins_per_year"] * years
    assert count[new].sum() / expected[new].sum() == pytest.approx(1.0, abs=0.05)
    hour = (rows["time"] + rows["utc_offset_min"].astype(np.int64) * 60_000) // 3_600_000 % 24
    of_new = np.repeat(new, np.diff(shard.starts))
    night = (hour < 6) & counted
    share = [night[who].sum() / counted[who].sum() for who in (of_new, ~of_new)]
    assert share[0] == pytest.approx(share[1], abs=0.01)


def test_everything_lies_before_the_windows_end(plain, attacked):
    for rows in (plain, attacked):
        assert rows.logins["time"].max() < rows.world.facts.window[1]


def test_the_counts_in_the_facts_are_the_rows_of_the_window(plain):
    counted = (plain.logins["time"] >= plain.world.facts.window[0]) & ~plain.logins["signup"]
    assert plain.world.facts.logins == counted.sum()
    assert plain.world.facts.attacks == (counted & ~plain.legitimate).sum()


def test_home_clocks_follow_the_tz_database(plain):
    zones = geography().zones
    some = np.random.default_rng(1).integers(0, len(plain.account), 400)
    for row in some.tolist():
        zone = ZoneInfo(zones[plain.people["time_zone"][plain.account[row]]])
        moment = datetime.fromtimestamp(plain.logins["time"][row] / 1000, tz=UTC)
        offset = moment.astimezone(zone).utcoffset().total_seconds()
        assert int(plain.logins["utc_offset_min"][row]) * 60 == offset


def test_addresses_are_of_the_country_and_network_they_claim(plain):
    country, asn = packaged_addresses().lookup(plain.logins["ip"])
    np.testing.assert_array_equal(asn, plain.logins["asn"])
    codes = np.array([*packaged_addresses().countries, ""])[country]
    np.testing.assert_array_equal(codes, plain.words("country"))


def test_browsers_systems_and_device_types_are_those_of_the_user_agent(plain):
    agents = clients()
    agent = plain.logins["user_agent"]
    np.testing.assert_array_equal(agents.browser[agent], plain.logins["browser"])
    np.testing.assert_array_equal(agents.system[agent], plain.logins["os"])
    np.testing.assert_array_equal(agents.device_type[agent], plain.logins["device_type"])


def test_a_reset_follows_failed_passwords(plain):
    reset = np.flatnonzero(plain.logins["password_reset"])
    assert len(reset) > 3
    for row in reset.tolist():
        earlier = np.arange(max(row - 40, 0), row)
        near = plain.logins["time"][row] - plain.logins["time"][earlier] < 300_000
        own = (plain.account[earlier] == plain.account[row]) & plain.legitimate[earlier] & near
        assert (~plain.logins["password_ok"][earlier][own]).sum() >= 3


def test_logins_per_year_are_met(plain, consumer):
    years = (90 + consumer.warmup_days) / 365
    old = plain.people["created"] < plain.logins["time"].min()
    mine = plain.legitimate & plain.logins["password_ok"] & old[plain.account]
    count = np.bincount(plain.account[mine], minlength=len(old))[old]
    expected = plain.people["logins_per_year"][old] * years
    assert count.sum() / expected.sum() == pytest.approx(1.0, abs=0.02)
    busy = expected > 20
    assert np.corrcoef(count[busy], expected[busy])[0, 1] > 0.9


# --- calls that are wrong


@pytest.mark.parametrize(
    ("call", "word"),
    [
        ({"users": 0}, "users"),
        ({"users": -5}, "users"),
        ({"users": 10**9}, "users"),
        ({"users": 10.5}, "users"),
        ({"users": "many"}, "users"),
        ({"days": 0}, "days"),
        ({"days": 4000}, "days"),
        ({"days": float("nan")}, "days"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"seed": None}, "seed"),
    ],
)
def test_an_impossible_request_is_refused_in_one_line(call, word):
    with pytest.raises(InputError, match=f"^{word} is ") as error:
        simulate("us-consumer", **{"users": 10, "days": 1, "seed": 1, **call})
    assert "\n" not in str(error.value)


def test_a_world_without_attacks(consumer):
    world = simulate(consumer.changed(attacks={}, attackers_from={}), 100, 5, seed=1)
    assert world.facts.attacks == 0
    assert world.facts.logins > 0


def test_the_smallest_world(consumer):
    world = simulate(consumer.changed(warmup_days=0), 1, 1, seed=1)
    assert world.facts.users == 1


@pytest.mark.parametrize("name", ["mobile-first-whatsapp", "workforce"])
def test_every_scenario_shipped_makes_a_world(name):
    world = simulate(name, users=150, days=10, seed=1)
    assert world.facts.logins > 100
    shares = {row: n / world.facts.logins for row, n in _device_counts(world).items()}
    if name == "mobile-first-whatsapp":
        assert shares["mobile"] == pytest.approx(0.9, abs=0.05)
    else:
        assert shares["desktop"] > 0.6


def _device_counts(world):
    (shard,) = world.shards()
    counted = (shard.logins["time"] >= world.facts.window[0]) & ~shard.logins["signup"]
    words = world.facts.vocabularies["device_type"]
    counts = np.bincount(shard.logins["device_type"][counted], minlength=len(words))
    return dict(zip(words, counts.tolist(), strict=True))


def test_a_workforce_works_office_hours_on_weekdays():
    world = simulate("workforce", users=60, days=28, seed=1)
    (shard,) = world.shards()
    rows = shard.logins
    mine = rows["attack"] == 0
    local = rows["time"][mine] + rows["utc_offset_min"][mine].astype(np.int64) * 60_000
    weekday = (local // 86_400_000 + 3) % 7
    hour = local // 3_600_000 % 24
    assert np.mean(weekday < 5) > 0.93
    assert np.mean((hour >= 7) & (hour < 18)) > 0.85
    days = len(np.unique(local // 86_400_000))
    assert mine.sum() / 60 / days > 1.0
