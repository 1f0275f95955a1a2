import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from twofa_lab.tables import LINE_TYPES, NEVER, POTENTIAL_OUTCOMES
from twofa_lab.traffic.clients import DEVICE_TYPES
from twofa_lab.traffic.geography import geography
from twofa_lab.traffic.people import Traits
from twofa_lab.traffic.potential import (
    PotentialDraws,
    PotentialOutcomes,
    draw_potential,
    make_habits,
)
from twofa_lab.traffic.scenario import Scenario
from twofa_lab.traffic.simulate import simulate

MS_PER_HOUR = 3_600_000
PHONE = DEVICE_TYPES.index("mobile")


def outcomes(scenario, n, country="US", *, whatsapp=True, line=0, device=PHONE, **draws):
    """Potential outcomes of `n` rows of one average person, from even draws unless given."""
    even = ((np.arange(n) + 0.5) / n).astype(np.float32)
    rng = np.random.default_rng(4)
    names = [name for name in PotentialDraws._fields if name != "acts"]
    drawn = {name: rng.permutation(even) for name in names} | draws
    acts = rng.integers(0, 2**64 - 1, n, dtype=np.uint64)
    one = np.ones(1, np.float32)
    traits = Traits(
        created=np.zeros(1, np.int64),
        logins_per_year=one,
        line_type=np.full(1, line, np.uint8),
        whatsapp=np.full(1, whatsapp),
        factors=np.full(1, 2, np.uint8),
        slip_rate=one,
        patience=one,
        skill=one,
    )
    dtypes = {column.name: column.dtype for column in POTENTIAL_OUTCOMES}
    out = PotentialOutcomes._make(np.zeros(n, dtypes[name]) for name in PotentialOutcomes._fields)
    draw_potential(
        np.zeros(n, np.int64),
        np.zeros(n, np.int32),
        np.full(n, device, np.int8),
        np.full(1, geography().country_index(country), np.int16),
        traits,
        make_habits(scenario, len(DEVICE_TYPES), PHONE),
        PotentialDraws(**drawn, acts=acts),
        out,
    )
    return out


# --- delivery


@pytest.mark.parametrize("country", ["BR", "IN"])
def test_messages_arrive_as_the_scenario_says_for_the_country(country):
    scenario = Scenario.load("mobile-first-whatsapp")
    out = outcomes(scenario, 40_000, country)
    carriers = {**scenario.delivery["default"], **scenario.delivery.get(country, {})}
    for channel, carrier in carriers.items():
        delay = getattr(out, f"po_{channel}_ds")
        assert np.mean(delay == NEVER) == pytest.approx(carrier.loss, abs=0.003), channel
        arrived = delay[delay != NEVER] / 10.0 + 0.05
        theory = stats.lognorm(carrier.seconds.sigma, scale=carrier.seconds.median)
        assert np.median(arrived) == pytest.approx(carrier.seconds.median, rel=0.04), channel
        assert arrived.mean() == pytest.approx(theory.mean(), rel=0.02), channel


@pytest.mark.parametrize(
    ("whatsapp", "line", "channel"),
    [(True, "mobile", "whatsapp"), (False, "mobile", "sms"), (False, "landline", "voice"),
     (True, "landline", "whatsapp"), (False, "voip", "sms")],
)  # fmt: skip
def test_a_resend_goes_by_the_persons_best_channel(consumer, whatsapp, line, channel):
    out = outcomes(consumer, 40_000, whatsapp=whatsapp, line=LINE_TYPES.index(line))
    carrier = consumer.delivery["default"][channel]
    arrived = out.po_resend_ds[out.po_resend_ds != NEVER]
    assert np.median(arrived) / 10 + 0.05 == pytest.approx(carrier.seconds.median, rel=0.04)
    assert np.mean(out.po_resend_ds == NEVER) == pytest.approx(carrier.loss, abs=0.003)


# --- people


def test_acts_follow_their_shares(consumer):
    challenge = consumer.challenge
    phone, desk = (outcomes(consumer, 40_000, device=d) for d in (PHONE, PHONE + 1))
    for found, share in (
        (phone.po_phone_at_hand, challenge.phone_at_hand_on_mobile),
        (desk.po_phone_at_hand, challenge.phone_at_hand_elsewhere),
        (desk.po_trusts_device, challenge.trusts_device),
        (desk.po_resends, challenge.resends),
        (desk.po_passkey_works, challenge.passkey_works),
    ):
        assert found.mean() == pytest.approx(share, abs=0.01)
    independent = np.corrcoef([desk.po_phone_at_hand, desk.po_trusts_device, desk.po_resends])
    assert np.abs(independent - np.eye(3)).max() < 0.025


def test_entry_and_patience_have_their_median_and_spread(consumer):
    out = outcomes(consumer, 40_000)
    for column, spread in (
        (out.po_entry_ds, consumer.challenge.entry_seconds),
        (out.po_patience_ds, consumer.challenge.patience_seconds),
    ):
        seconds = column / 10.0
        assert np.median(seconds) == pytest.approx(spread.median, rel=0.02)
        assert np.log(seconds).std() == pytest.approx(spread.sigma, rel=0.04)


def test_wrong_codes_are_geometric(consumer):
    wrong = outcomes(consumer.changed(challenge__wrong_code=0.3), 100_000).po_wrong_codes
    found = np.bincount(wrong, minlength=5)[:5] / len(wrong)
    assert found == pytest.approx(stats.geom(0.7, loc=-1).pmf(range(5)), abs=2e-3)


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0, exclude_max=True, width=32))
@settings(max_examples=25)
def test_wrong_codes_end_whatever_the_chance(chance, uniform):
    draw = np.full(1, uniform, np.float32)
    scenario = Scenario.load("us-consumer").changed(challenge__wrong_code=chance)
    (wrong,) = outcomes(scenario, 1, wrong=draw).po_wrong_codes
    assert 0 <= wrong <= 20
    assert (wrong == 0) == (uniform >= chance)


def test_extremes_stay_within_the_columns(consumer):
    slow = consumer.changed(challenge__entry_seconds={"median": 1e6, "sigma": 3})
    assert outcomes(slow, 100).po_entry_ds.max() == 60_000
    quick = consumer.changed(challenge__patience_seconds={"median": 1e-3, "sigma": 0})
    assert outcomes(quick, 100).po_patience_ds.tolist() == [10] * 100


# --- incidents

OUTAGE = {"kind": "carrier_outage", "channel": "sms", "countries": ["US"], "day": 3, "hour": 14.0,
          "hours": 6.0, "loss": 0.5, "slower": 4.0}  # fmt: skip
HALF = {"people__countries": {"US": 0.5, "BR": 0.5}, "people__activity": {
    "median": 300, "p90": 600, "p99": 900}}  # fmt: skip


@pytest.fixture(scope="module")
def calm(consumer):
    return simulate(consumer.changed(**HALF, incidents=[]), 3_000, 6, seed=6)


def both(consumer, calm, **changes):
    """The rows of one world without and with an incident, and which rows it may touch."""
    incident = {**OUTAGE, **changes}
    scenario = consumer.changed(**HALF, incidents=[incident])
    stormy = simulate(scenario, 3_000, 6, seed=6)
    a, b = calm.source.load(0, None), stormy.source.load(0, None)
    begin = calm.facts.window[0] + (3 * 24 + 14) * MS_PER_HOUR
    home = a.people["country"][np.repeat(np.arange(len(a.starts) - 1), np.diff(a.starts))]
    countries = [geography().country_index(code) for code in incident["countries"] or ["US", "BR"]]
    inside = (a.logins["time"] >= begin) & (a.logins["time"] < begin + 6 * MS_PER_HOUR)
    return a.logins, b.logins, inside, np.isin(home, countries), a.people


def test_an_outage_shows_in_its_window_channel_and_country_only(consumer, calm):
    calm, stormy, inside, there, _ = both(consumer, calm)
    hit = inside & there
    assert hit.sum() > 200
    for name, values in calm.items():
        same = values == stormy[name]
        if name in ("po_sms_ds", "po_resend_ds"):
            assert same[~hit].all(), name
        else:
            assert same.all(), name
    lost = [np.mean(rows["po_sms_ds"][hit] == NEVER) for rows in (calm, stormy)]
    normal_loss = consumer.delivery["default"]["sms"].loss
    assert lost[0] == pytest.approx(normal_loss, abs=0.03)
    assert lost[1] == pytest.approx(1 - 0.5 * (1 - normal_loss), abs=0.08)
    arrived = [rows["po_sms_ds"][hit & (stormy["po_sms_ds"] != NEVER)] for rows in (calm, stormy)]
    assert (arrived[1] >= arrived[0]).all()
    assert np.median(arrived[1] / arrived[0]) > 3.5


def test_an_outage_reaches_resends_on_its_channel_only(consumer, calm):
    calm, stormy, _, _, people = both(consumer, calm)
    changed = np.flatnonzero(calm["po_resend_ds"] != stormy["po_resend_ds"])
    assert len(changed) > 20
    account = calm["user_id"][changed] - people["user_id"][0]
    assert not people["whatsapp"][account].any()


def test_an_outage_without_countries_is_everywhere(consumer, calm):
    calm, stormy, inside, _, _ = both(consumer, calm, channel="whatsapp", countries=[], loss=1.0)
    assert (stormy["po_whatsapp_ds"][inside] == NEVER).all()
    assert (stormy["po_whatsapp_ds"] == calm["po_whatsapp_ds"])[~inside].all()
    assert (stormy["po_sms_ds"] == calm["po_sms_ds"]).all()


def test_the_shipped_outage_is_on_its_day(plain, consumer):
    (incident,) = consumer.incidents
    begin = plain.world.facts.window[0] + int((incident.day * 24 + incident.hour) * MS_PER_HOUR)
    end = begin + int(incident.hours * MS_PER_HOUR)
    time = plain.logins["time"]
    home = plain.people["country"][plain.account] == geography().country_index("US")
    inside = (time >= begin) & (time < end) & home
    slow = plain.logins["po_sms_ds"] > 120
    assert inside.sum() > 40
    assert slow[inside].mean() > 3 * slow[~inside].mean()
