import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofa_lab.tables import LINE_TYPES
from twofa_lab.traffic.calendar import window_of
from twofa_lab.traffic.clients import DEVICE_TYPES, clients
from twofa_lab.traffic.geography import geography
from twofa_lab.traffic.networks import networks
from twofa_lab.traffic.people import (
    MS_PER_DAY,
    Mix,
    draw_actors,
    draw_traits,
    pick,
    stack,
    take,
)
from twofa_lab.traffic.scenario import Activity, Scenario
from twofa_lab.traffic.streams import Streams

N = 20_000
SOURCES = (geography(), networks(), clients())


def window(scenario):
    start, _, end = window_of(scenario, 90)
    return start, end


def people(scenario, n=N, seed=5):
    mix = Mix(scenario.people.countries)
    return draw_actors(n, Streams(seed, 0), scenario, mix, window(scenario), SOURCES)


def traits(scenario, n=N, seed=5):
    home = people(scenario, n, seed).country.astype(np.int64)
    return draw_traits(n, Streams(seed, 0), scenario, home, window(scenario))


@pytest.fixture(scope="module")
def drawn(consumer):
    return people(consumer)


@pytest.fixture(scope="module")
def holders(consumer):
    return traits(consumer)


@given(
    st.lists(st.floats(0.0, 1e6), min_size=1, max_size=8).filter(lambda w: sum(w) > 0),
    st.lists(st.floats(0.0, 1.0, exclude_max=True), min_size=1, max_size=30),
)
def test_what_has_no_weight_is_never_picked(weights, uniforms):
    chosen = pick(np.array(weights), np.array(uniforms))
    assert (np.array(weights)[chosen] > 0).all()


def test_picks_follow_their_weights():
    chosen = pick(np.array([1.0, 0.0, 3.0]), (np.arange(400) + 0.5) / 400)
    assert np.bincount(chosen).tolist() == [100, 0, 300]


# --- activity


@pytest.mark.parametrize("quantiles", [(2, 9, 28), (26, 120, 380), (620, 1150, 1900)])
def test_the_activity_fit_gives_its_quantiles_back(consumer, quantiles):
    activity = dict(zip(("median", "p90", "p99"), quantiles, strict=True))
    scenario = consumer.changed(people__activity=activity)
    rate = draw_traits(
        200_000, Streams(5, 0), scenario, np.zeros(200_000, np.int64), window(scenario)
    ).logins_per_year
    found = np.quantile(rate, [0.5, 0.9, 0.99])
    assert found == pytest.approx(quantiles, rel=0.08)


def test_with_the_data_sets_quantiles_four_in_ten_accounts_log_in_once(consumer):
    activity = Activity(median=2, p90=9, p99=28)
    assert activity.share_of_one() == pytest.approx(0.397, abs=0.01)  # published, not fitted
    scenario = consumer.changed(people__activity=activity.model_dump())
    rate = traits(scenario).logins_per_year
    assert np.mean(rate == 1) == pytest.approx(0.397, abs=0.015)
    assert np.mean(rate >= 10) == pytest.approx(0.085, abs=0.01)


# --- homes, weeks, trips


def test_homes_follow_the_countries_and_their_cities(drawn, consumer):
    places = geography()
    np.testing.assert_array_equal(places.country[drawn.city], drawn.country)
    np.testing.assert_array_equal(places.zone[drawn.city], drawn.zone)
    for code, share in consumer.people.countries.items():
        found = np.mean(drawn.country == places.country_index(code))
        assert found == pytest.approx(share, abs=0.006), code


def test_the_kinds_of_week_follow_their_weights(consumer):
    week = people(consumer.changed(calendar__weeks=[7, 0, 3]), 5_000).week
    assert np.bincount(week, minlength=3) / len(week) == pytest.approx([0.7, 0.0, 0.3], abs=0.025)


def test_trips_end_after_they_begin_and_go_somewhere(drawn, consumer):
    goes = drawn.trip_start < 2**62
    years = 120 / 365.0
    assert goes.sum() / N == pytest.approx(consumer.people.trips_per_year * years, rel=0.05)
    assert (drawn.trip_end[goes] > drawn.trip_start[goes]).all()
    days = (drawn.trip_end - drawn.trip_start)[goes] / MS_PER_DAY
    assert np.median(days) == pytest.approx(consumer.people.trip_days.median, rel=0.05)
    abroad = geography().country[drawn.trip_city] != drawn.country[:, None]
    assert np.mean(abroad[goes]) == pytest.approx(consumer.people.trip_abroad, abs=0.02)


# --- devices


def test_everybody_has_one_to_four_devices(drawn, consumer):
    own = np.diff(drawn.device_share, axis=1, prepend=0.0) > 1e-6
    count = own.sum(axis=1)
    assert own[:, 0].all()
    assert set(count) == {1, 2, 3, 4}
    found = np.bincount(count, minlength=5)[1:] / N
    assert found == pytest.approx(consumer.people.device_counts, abs=0.012)
    assert drawn.device_share[:, -1] == pytest.approx(1.0)


def test_the_first_device_is_most_often_a_phone_and_the_second_the_other_kind(drawn, consumer):
    kind = clients().device_type[drawn.device_client]
    phone = DEVICE_TYPES.index("mobile")
    assert np.mean(kind[:, 0] == phone) == pytest.approx(consumer.people.mobile_first, abs=0.012)
    assert ((kind[:, 0] == phone) != (kind[:, 1] == phone)).all()


def test_a_device_is_replaced_by_one_of_its_kind_after_its_life(drawn, consumer):
    kind = clients().device_type
    np.testing.assert_array_equal(kind[drawn.device_client], kind[drawn.device_next])
    life = (drawn.device_until - window(consumer)[0]) / MS_PER_DAY
    assert life.mean() == pytest.approx(consumer.people.device_life_days, rel=0.03)  # exponential:
    assert life.std() == pytest.approx(life.mean(), rel=0.03)


def test_device_keys_are_all_different(drawn):
    assert len(np.unique(drawn.device_key)) == drawn.device_key.size


# --- account holders


def test_lines_factors_and_whatsapp_follow_their_shares(holders, drawn, consumer):
    settings = consumer.people
    lines = np.bincount(holders.line_type, minlength=len(LINE_TYPES)) / N
    assert lines == pytest.approx([settings.line_types[name] for name in LINE_TYPES], abs=0.008)
    assert (holders.factors & 2).all()  # everybody can be sent a code
    assert np.mean(holders.factors & 16 > 0) == pytest.approx(
        settings.factors["passkey"], abs=0.008
    )
    at_home = drawn.country == geography().country_index("US")
    assert holders.whatsapp[at_home].mean() == pytest.approx(
        settings.whatsapp["default"], abs=0.015
    )


def test_new_accounts_come_evenly_and_leave_an_hour_for_a_login(holders, consumer):
    start, end = window(consumer)
    inside = holders.created[holders.created >= start]
    expected = consumer.people.created_share_per_year * 120 / 365
    assert len(inside) / N == pytest.approx(expected, rel=0.08)
    assert inside.max() < end - 3_000_000
    assert np.mean(inside < (start + end) / 2) == pytest.approx(0.5, abs=0.05)
    assert holders.created[holders.created < start].max() <= start - 30 * MS_PER_DAY


def test_skill_patience_and_slips_have_their_spread(holders, consumer):
    assert np.log(holders.patience).std() == pytest.approx(0.4, rel=0.03)
    assert np.log(holders.skill).std() == pytest.approx(0.3, rel=0.03)
    assert holders.slip_rate.mean() == pytest.approx(consumer.people.slip_rate, rel=0.02)


def test_the_first_of_more_people_are_the_same_people(consumer, drawn, holders):
    fewer = people(consumer, 100)
    for name, few in fewer._asdict().items():
        np.testing.assert_array_equal(few, getattr(drawn, name)[:100], err_msg=name)
    for name, few in traits(consumer, 100)._asdict().items():
        np.testing.assert_array_equal(few, getattr(holders, name)[:100], err_msg=name)


def test_taking_and_stacking_keep_every_column(drawn):
    both = stack(take(drawn, np.array([3, 1])), take(drawn, np.array([2])))
    for name, column in both._asdict().items():
        np.testing.assert_array_equal(column, getattr(drawn, name)[[3, 1, 2]], err_msg=name)


def test_nobody_can_be_drawn_too(consumer):
    assert len(people(consumer, 0).city) == 0


def test_a_workforce_lives_by_its_week():
    scenario = Scenario.load("workforce")
    assert np.mean(people(scenario, 3_000).week == 0) == pytest.approx(0.93, abs=0.02)
