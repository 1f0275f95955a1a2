import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from twofa_lab.tables import NEVER
from twofa_lab.traffic.quantiles import NORMAL, SIZE, delay_table, lognormal_table, normal


def test_the_normal_table_has_the_normals_moments():
    values = NORMAL.astype(np.float64)
    assert len(values) == SIZE
    assert values.mean() == pytest.approx(0.0, abs=1e-6)
    assert values.var() == pytest.approx(1.0, rel=2e-3)  # the tails beyond 1 in 8,192 are cut
    assert stats.skew(values) == pytest.approx(0.0, abs=1e-5)
    assert stats.kurtosis(values) == pytest.approx(0.0, abs=0.03)


@given(st.lists(st.floats(0.0, 1.0, exclude_max=True, width=32), min_size=1))
def test_a_uniform_finds_its_quantile(uniforms):
    values = normal(np.array(uniforms, np.float32)).astype(np.float64)
    assert np.abs(stats.norm.cdf(values) - uniforms).max() <= 1.0 / SIZE


@pytest.mark.parametrize(("median", "sigma"), [(1.6, 0.6), (9.5, 0.45), (22.0, 0.7), (4.0, 1.0)])
def test_a_lognormal_table_has_the_lognormals_moments(median, sigma):
    table, theory = lognormal_table(median, sigma), stats.lognorm(sigma, scale=median)
    assert np.median(table) == pytest.approx(median, rel=1e-3)
    assert table.mean() == pytest.approx(theory.mean(), rel=2e-3)
    assert table.var() == pytest.approx(theory.var(), rel=0.06)  # its tail is what is cut
    assert np.exp(np.log(table).std()) == pytest.approx(np.exp(sigma), rel=2e-3)


@given(
    loss=st.floats(0.0, 1.0),
    median=st.floats(0.2, 20.0),
    sigma=st.floats(0.0, 1.0),
)
def test_a_delay_table_loses_its_share_and_rises(loss, median, sigma):
    table = delay_table(loss, median, sigma)
    assert np.mean(table == NEVER) == pytest.approx(loss, abs=0.51 / SIZE)
    assert (np.diff(table.astype(np.int64)) >= 0).all()
    assert table.min() >= 1


@pytest.mark.parametrize(("loss", "median", "sigma"), [(0.015, 1.6, 0.6), (0.1, 9.0, 0.9)])
def test_arrivals_follow_the_lognormal(loss, median, sigma):
    table = delay_table(loss, median, sigma)
    arrived = table[table != NEVER] / 10.0
    theory = stats.lognorm(sigma, scale=median)
    # whole tenths of a second, rounded down
    assert arrived.mean() + 0.05 == pytest.approx(theory.mean(), rel=0.005)
    assert arrived.var() == pytest.approx(theory.var(), rel=0.06)


def test_all_or_nothing_arrives():
    assert (delay_table(1.0, 1.0, 0.5) == NEVER).all()
    assert (delay_table(0.0, 1e9, 0.0) == NEVER - 1).all()
