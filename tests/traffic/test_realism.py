import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofa_lab.analysis import marginals
from twofa_lab.analysis.realism import Item, hourly, log_ratio, published_shape, realism, variation
from twofa_lab.catalog.published import RBA
from twofa_lab.errors import InputError
from twofa_lab.traffic.simulate import simulate
from twofa_lab.traffic.storage import open_run
from twofa_lab.traffic.world import MemorySource, World


@pytest.fixture(scope="module")
def calibrated():
    """The public data set's scenario over the data set's span."""
    return realism(simulate("public-sso", users=40_000, days=RBA.days, seed=3))


@pytest.fixture(scope="module")
def consumers(plain):
    return realism(plain.world)


# --- the published figures


def test_the_published_shares_are_shares():
    assert sum(RBA.device_types.values()) == pytest.approx(1.0, abs=0.002)
    assert sum(RBA.countries.values()) < 1
    assert RBA.rows > RBA.users > RBA.distinct_ips


def test_one_lognormal_reproduces_five_published_figures_of_activity():
    shape = published_shape(RBA, 1.0)
    running = np.cumsum(shape)
    for q, rows in RBA.logins_per_user.items():
        assert np.searchsorted(running, q) == pytest.approx(rows, abs=1), q
    assert shape[1] == pytest.approx(RBA.one_login, abs=0.01)
    assert shape[10:].sum() == pytest.approx(RBA.ten_or_more, abs=0.005)


def test_thinning_the_shape_agrees_with_dropping_logins_by_chance():
    rng = np.random.default_rng(2)
    whole = rng.choice(len(published_shape(RBA, 1.0)), 200_000, p=published_shape(RBA, 1.0))
    kept = rng.binomial(whole, 0.25)
    kept = kept[kept > 0]
    found = np.bincount(kept, minlength=12)[:12] / len(kept)
    assert published_shape(RBA, 0.25)[:12] == pytest.approx(found, abs=0.004)


# --- distances


@given(st.lists(st.floats(0.001, 1.0), min_size=2, max_size=6), st.randoms())
def test_total_variation_is_a_distance_between_distributions(weights, random):
    shuffled = random.sample(weights, len(weights))
    p, q = np.array(weights) / sum(weights), np.array(shuffled) / sum(weights)
    there = variation(tuple(Item(str(k), a, b) for k, (a, b) in enumerate(zip(p, q, strict=True))))
    back = variation(tuple(Item(str(k), b, a) for k, (a, b) in enumerate(zip(p, q, strict=True))))
    assert 0 <= there <= 1
    assert there == pytest.approx(back)
    assert there == pytest.approx(max(p[p > q].sum() - q[p > q].sum(), 0.0))


def test_the_log_ratio_takes_twice_and_half_alike():
    twice = log_ratio((Item("a", 4, 2), Item("b", 9, 9)))
    half = log_ratio((Item("a", 1, 2), Item("b", 9, 9)))
    assert twice == half == pytest.approx(np.log(2) / 2)


def test_a_world_compared_with_its_own_figures_is_no_distance_away(calibrated):
    def figures(name):
        return {i.label: i.generated for i in calibrated[name].items}

    rows = figures("logins per user")
    shares = figures("accounts by logins")
    own = replace(
        RBA,
        logins_per_user={0.5: rows["median"], 0.9: rows["p90"], 0.99: rows["p99"]},
        one_login=shares["one login"],
        ten_or_more=shares["ten or more logins"],
        success=figures("success")["share"],
        attack_ip=figures("attack addresses")["share"],
        rtt_missing=figures("round-trip time missing")["share"],
        distinct_ips=figures("distinct addresses")["all, over accounts seen"] * RBA.users,
        countries={k: v for k, v in figures("countries").items() if k != "other"},
        device_types={k: v for k, v in figures("device types").items() if v},
        per_minute={0: 100 * float(hourly(calibrated.local)[0]), 16: 100.0},
    )
    again = realism(simulate("public-sso", users=40_000, days=RBA.days, seed=3), published=own)
    for marginal in again.marginals:
        if marginal.distance is not None and "daily" not in marginal.name:
            assert marginal.distance == pytest.approx(0.0, abs=1e-9), marginal.name
    assert again["daily shape, home clock"].distance < 0.05  # the peak is not quite at 16:00


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("logins per user", 0.15),
        ("accounts by logins", 0.05),
        ("success", 0.02),
        ("device types", 0.11),  # 0.093 of it: bots and unknown browsers are not generated
        ("countries", 0.02),
        ("daily shape, home clock", 0.08),
        ("attack addresses", 0.02),
        ("round-trip time missing", 0.005),
    ],
)
def test_public_sso_is_calibrated(name, most, calibrated, consumers):
    assert calibrated[name].distance <= most
    if name not in ("round-trip time missing", "device types"):
        assert consumers[name].distance > calibrated[name].distance  # another service is farther


def test_what_is_not_generated_is_said(calibrated):
    assert "no bot, unknown" in calibrated["device types"].note
    assert calibrated["device types"].note in calibrated.note


# --- counting


def brute_force_newness(rows, name):
    """New values and chances for them, one row at a time."""
    start, end = rows.world.facts.window
    new = whole = 0
    seen: dict[int, set[int]] = {}
    for user, value, ok, attack, time, signup in zip(
        *(rows.logins[c].tolist() for c in ("user_id", name, "password_ok", "attack", "time",
                                            "signup")), strict=True):  # fmt: skip
        if not ok or attack:
            continue
        had = seen.setdefault(user, set())
        if had and start <= time < end and not signup:
            whole += 1
            new += value not in had
        had.add(value)
    return new / whole


@pytest.mark.parametrize(
    ("name", "column"), [("new device", "device_id"), ("new country", "country")]
)
def test_newness_is_what_a_walk_through_the_rows_finds(name, column, plain, consumers):
    (item,) = consumers[name].items
    assert item.generated == pytest.approx(brute_force_newness(plain, column), abs=1e-12)
    assert item.published is None
    assert consumers[name].distance is None


def test_shares_are_those_of_the_windows_rows(plain, consumers):
    start, end = plain.world.facts.window
    time = plain.logins["time"]
    counted = (time >= start) & (time < end) & ~plain.logins["signup"]
    assert consumers.rows == counted.sum() == plain.world.facts.logins
    shares = {
        "success": plain.logins["password_ok"][counted].mean(),
        "attack addresses": plain.logins["ip_listed"][counted].mean(),
        "round-trip time missing": (plain.logins["rtt_ms"][counted] == 0).mean(),
    }
    for name, share in shares.items():
        assert consumers[name].items[0].generated == pytest.approx(share), name
    country = plain.words("country")[counted]
    found = {i.label: i.generated for i in consumers["countries"].items}
    assert found["US"] == pytest.approx(np.mean(country == "US"))
    assert sum(found.values()) == pytest.approx(1.0)
    each = np.bincount(plain.account[counted])
    median = consumers["logins per user"].items[0]
    assert median.generated == np.quantile(each[each > 0], 0.5, method="inverted_cdf")
    addresses = len(np.unique(plain.logins["ip"][counted])) / (each > 0).sum()
    found_addresses = consumers["distinct addresses"].items[0].generated
    assert found_addresses == pytest.approx(addresses, rel=0.02)


@given(st.integers(0, 3), st.integers(1, 400_000))
@settings(max_examples=25)
def test_distinct_values_are_counted_exactly_while_few_and_closely_when_many(seed, n):
    values = np.random.default_rng(seed).integers(0, 2**40, 5).astype(np.uint64)
    hashes = marginals._smallest(marginals._hash(np.arange(n, dtype=np.uint64) + values[0]))
    if n < 65_536:
        assert marginals.distinct(hashes) == n
    else:
        assert marginals.distinct(hashes) == pytest.approx(n, rel=0.02)


def test_shards_and_workers_do_not_matter(small_shards, consumer, tmp_path):
    run = tmp_path / "run"
    world = simulate(consumer, users=5 * small_shards, days=10, seed=1, out=run)
    one = realism(world, workers=1)
    with ThreadPoolExecutor(3) as threads:
        many = realism(open_run(run), executor=threads)
    assert one.marginals == many.marginals
    whole = realism(World(world.facts, MemorySource(tuple(world.shards()))))
    assert whole.marginals == one.marginals


def test_a_log_without_potential_outcomes_or_round_trips_is_compared_too(plain):
    shards = tuple(
        replace(s, logins={n: v for n, v in s.logins.items() if not n.startswith("po_")})
        for s in plain.world.shards()
    )
    shards[0].logins["device_type"] = np.full(shards[0].rows, -1, np.int8)
    report = realism(World(plain.world.facts, MemorySource(shards)))
    unknown = {i.label: i.generated for i in report["device types"].items}["unknown"]
    assert unknown > 0.5


def test_a_world_without_logins_in_its_window_is_refused(plain):
    facts = replace(plain.world.facts, window=(1, 2))
    with pytest.raises(InputError, match="no logins inside its window"):
        realism(World(facts, plain.world.source))


def test_a_world_with_one_login_has_no_rates_but_a_report(consumer):
    report = realism(simulate(consumer.changed(warmup_days=0, attacks={}), users=3, days=9, seed=3))
    assert "n/a" in report.to_markdown() or report["new device"].items[0].generated >= 0
    json.dumps(report.to_dict())
    report.plot()


# --- what a person sees


def test_the_report_renders_itself(calibrated, consumers):
    for report in (calibrated, consumers):
        page = report._repr_html_()
        assert page.startswith("<table>")
        text = report.to_markdown()
        for part in ("no published figure", "das-group", "total variation", "42.3 %"):
            assert part in page
            assert part in text
        assert str(report).startswith(f"Realism of {report.world}")
    assert "thinned to 90 days" in consumers.note
    assert "thinned" not in calibrated.note


def test_the_frame_has_numbers_and_nan_where_nothing_is_published(calibrated):
    frame = calibrated.to_pandas()
    assert frame.loc[("countries", "NO"), "published"] == 0.423
    assert np.isnan(frame.loc[("new device", "share"), "published"])
    assert np.isnan(frame.loc[("new device", "share"), "distance"])
    assert frame.dtypes[["generated", "published", "distance"]].eq("float64").all()


def test_json_says_none_where_nothing_is_published(calibrated):
    found = json.loads(json.dumps(calibrated.to_dict(), allow_nan=False))
    names = {m["name"]: m for m in found["marginals"]}
    assert names["new country"]["distance"] is None
    assert names["new country"]["figures"]["share"]["published"] is None
    assert names["success"]["figures"]["share"]["published"] == 0.78


def test_an_unknown_marginal_names_those_there_are(calibrated):
    with pytest.raises(InputError, match="success, device types"):
        calibrated["colour of eyes"]


def test_every_panel_of_the_figure_is_labelled(calibrated, tmp_path):
    figure = calibrated.plot()
    assert len(figure.axes) == 6
    for axes in figure.axes:
        assert axes.get_title(loc="left")
        assert axes.get_xlabel()
    units = " ".join(a.get_xlabel() + a.get_ylabel() for a in figure.axes)
    assert units.count("%") >= 5
    assert figure.legends[0].get_texts()
    figure.savefig(tmp_path / "realism.png")
    assert (tmp_path / "realism.png").stat().st_size > 20_000
