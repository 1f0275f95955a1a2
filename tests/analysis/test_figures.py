"""Figures: labelled, with units, and as long as the figures they stand for; the same bits twice."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from PIL import Image

from twofa_lab.analysis.comparison import Comparison
from twofa_lab.analysis.figures import colour_of
from twofa_lab.analysis.own_logs import replay_log
from twofa_lab.analysis.page import figure_svg
from twofa_lab.analysis.picture import Figure
from twofa_lab.risk.policy import Policy
from twofa_lab.traffic.readers.log_world import read_logs

RBA = Path(__file__).resolve().parents[2] / "data" / "logs" / "rba.csv"
PLOTS = ("plot", "plot_funnel", "plot_cost", "plot_attacks")


def drawn(study: Comparison, plot: str) -> tuple[Figure, Axes]:
    figure = getattr(study, plot)()
    (axes,) = figure.axes
    return figure, axes


def widths(axes: Axes) -> list[float]:
    """Widths of the bars that have one, in the order they were drawn."""
    bars = (patch for patch in axes.patches if isinstance(patch, Rectangle))
    return [bar.get_width() for bar in bars if bar.get_height() > 0]


def legend_of(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def ticks_of(axes: Axes) -> list[str]:
    return [label.get_text() for label in axes.get_yticklabels()]


@pytest.mark.parametrize("plot", PLOTS)
def test_axes_are_labelled_with_units_and_the_source_is_named(study: Comparison, plot: str):
    figure, axes = drawn(study, plot)
    assert axes.get_title(loc="left")
    assert "%" in axes.get_xlabel() or "US$" in axes.get_xlabel()
    source = figure._supxlabel.get_text()
    assert source == "simulated traffic: us-consumer, 600 accounts, 60 days"


@pytest.mark.parametrize("plot", PLOTS)
def test_a_figure_has_the_same_bits_twice_and_is_a_picture(study: Comparison, plot: str):
    one, two = (figure_svg(getattr(study, plot)()) for _ in range(2))
    assert one == two
    assert one.startswith("<svg")
    assert "<text" not in one  # letters are outlines: no font is needed to read it
    picture = Image.open(io.BytesIO(getattr(study, plot)()._repr_png_()))
    assert len(picture.convert("RGB").getcolors(2**24)) > 10


def test_the_trade_off_sets_each_policy_where_its_figures_are(study: Comparison):
    _, axes = drawn(study, "plot")
    assert "lost" in axes.get_xlabel()
    assert "takeovers" in axes.get_ylabel()
    labels = [text.get_text() for text in axes.texts]
    for result, container in zip(study.results, axes.containers, strict=True):
        point, _, (across, up) = container.lines
        x, y = 100 * (1 - result.conversion.value), 100 * result.takeover_rate.value
        assert (point.get_xdata()[0], point.get_ydata()[0]) == pytest.approx((x, y))
        (segment,) = across.get_segments()
        ends = [100 * (1 - result.conversion.high), 100 * (1 - result.conversion.low)]
        assert segment[:, 0] == pytest.approx(ends)
        (segment,) = up.get_segments()
        ends = [100 * result.takeover_rate.low, 100 * result.takeover_rate.high]
        assert segment[:, 1] == pytest.approx(ends)
        asks = f"{result.name}\nasks {100 * result.challenge_rate.value:.0f} %"
        assert asks in labels
        left, right = axes.get_xlim()
        assert left < x < right


def test_the_funnel_divides_100_logins(study: Comparison):
    _, axes = drawn(study, "plot_funnel")
    assert ticks_of(axes) == [r.name for r in study.results]
    endings = ["not asked", "asked and completed", "abandoned", "undelivered", "other"]
    assert legend_of(axes) == endings
    bars = np.array(widths(axes)[: 5 * len(study.results)]).reshape(-1, 5)
    assert bars.sum(axis=1) == pytest.approx([100.0] * len(study.results))
    for result, row in zip(study.results, bars, strict=True):
        known = [result.not_asked, result.asked_and_completed]
        known += [result.lost.get(name, 0) for name in ("abandoned", "undelivered")]
        shares = [100 * n / result.legitimate for n in known]
        assert row[:4] == pytest.approx(shares)
        assert row[0] + row[1] == pytest.approx(100 * result.conversion.value)
        lost = f"{100 * (1 - result.conversion.value):.2f} lost"
        assert lost in [text.get_text() for text in axes.texts]


def test_the_cost_is_drawn_in_its_parts(study: Comparison):
    _, axes = drawn(study, "plot_cost")
    assert ticks_of(axes) == [r.name for r in study.results]
    assert legend_of(axes) == ["messages", "support", "lost logins", "takeovers"]
    bars = np.array(widths(axes)).reshape(-1, 4)
    texts = [text.get_text() for text in axes.texts]
    for result, row in zip(study.results, bars, strict=True):
        cost = result.cost
        parts = (cost.messages, cost.support, cost.lost_logins, cost.takeovers)
        assert row == pytest.approx([part.value for part in parts])
        assert f"${cost.total.value:.2f}" in texts
        assert axes.get_xlim()[1] > cost.total.value


def test_the_attacks_are_drawn_by_kind_and_policy(study: Comparison):
    _, axes = drawn(study, "plot_attacks")
    kinds = [k for k, row in study.results[0].by_kind.items() if row[1]]
    counts = [study.results[0].by_kind[kind][1] for kind in kinds]
    expected = [f"{k.replace('_', ' ')} (n={n:,})" for k, n in zip(kinds, counts, strict=True)]
    assert ticks_of(axes) == expected
    assert legend_of(axes) == [r.name for r in study.results]
    bars = np.array(widths(axes)).reshape(len(study.results), -1)
    for result, row in zip(study.results, bars, strict=True):
        shares = [100 * result.by_kind[k][3] / result.by_kind[k][1] for k in kinds]
        assert row == pytest.approx(shares)


def test_each_policy_keeps_its_colour_and_no_two_share_one(study: Comparison):
    colours = colour_of(study.results)
    assert colours == colour_of(study.results[::-1])
    assert len(set(colours.values())) == len(study.results)


def test_the_weekly_plot_shows_the_weeks_of_the_log():
    found = replay_log(read_logs(RBA, "rba"), Policy.risk_based())
    (axes,) = found.plot().axes
    weeks, whole = axes.lines
    assert weeks.get_xdata() == pytest.approx(np.arange(1, len(found.weekly) + 1))
    assert weeks.get_ydata() == pytest.approx(100 * np.array(found.weekly), nan_ok=True)
    assert whole.get_ydata()[0] == pytest.approx(100 * found.challenge_rate)
    assert "week" in axes.get_xlabel()
    assert "%" in axes.get_ylabel()
    assert found.policy in axes.get_title(loc="left")
    assert figure_svg(found.plot()) == figure_svg(found.plot())
