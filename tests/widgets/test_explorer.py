"""The explorer against comparisons of the same policies, and its sliders moved by hand."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from twofa_lab.analysis.comparison import compare
from twofa_lab.errors import InputError
from twofa_lab.risk.policy import Policy
from twofa_lab.traffic import simulate as simulating
from twofa_lab.traffic.simulate import simulate
from twofa_lab.traffic.storage import open_run
from twofa_lab.traffic.world import World
from twofa_lab.widgets.explorer import Explorer, sample_of
from twofa_lab.widgets.explorer_figure import Picture
from twofa_lab.widgets.panel import SIGNALS, Panel

RISK = Policy.risk_based()
SETTINGS = [
    {"threshold": 0.7},
    {"trust_days": 0.0},
    {"trust_days": 5.0, "threshold": 0.3},
    {"timeout_seconds": 5.0},
    *({"points": {name: 0.4}} for name in SIGNALS),
]
COLUMNS = ("challenge_rate", "conversion", "friction_seconds_median", "takeovers", "takeover_rate",
           "cost_per_1000_usd")  # fmt: skip


@pytest.fixture(scope="module")
def world() -> World:
    """600 accounts in several shards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulating, "_TARGET_ROWS", 1)
        return simulate("us-consumer", users=600, days=60, seed=3, progress=False)


@pytest.fixture(scope="module")
def explorer(world: World) -> Explorer:
    return Explorer(world)


@pytest.fixture
def panel(explorer: Explorer) -> Panel:
    return Panel(explorer)


def compared(explorer: Explorer, policy: Policy) -> dict[str, float]:
    """The figures of a comparison of the sample, as numbers."""
    frame = compare(explorer.sample, [policy], replicates=4, progress=False).to_pandas()
    return frame[list(COLUMNS)].iloc[0].to_dict()


class TestCore:
    @pytest.mark.parametrize("settings", [{}, *SETTINGS], ids=str)
    def test_figures_are_exactly_a_comparisons(self, explorer: Explorer, settings: dict):
        found = explorer.at(**settings)
        assert found.figures() == compared(explorer, found.policy)

    @pytest.mark.parametrize("settings", SETTINGS, ids=str)
    def test_each_setting_matters(self, explorer: Explorer, settings: dict):
        assert explorer.at(**settings).figures() != explorer.at().figures()

    def test_what_is_moved_is_the_policy(self, explorer: Explorer):
        moved = explorer.policy_at(threshold=0.3, points={"odd_hour": 0.9}, trust_days=0,
                                   timeout_seconds=45)  # fmt: skip
        assert RISK.differences(moved) == {
            "name": ("risk-based", "risk-based, moved"),
            "challenge_at": (0.45, 0.3),
            "trust_device_days": (30.0, None),
            "fallback.timeout_seconds": (30.0, 45.0),
            "points.odd_hour": (0.2, 0.9),
        }
        assert explorer.policy_at() is explorer.policy_at(threshold=0.45)
        assert explorer.policy_at() == RISK

    def test_it_is_a_closed_loop(self, explorer: Explorer):
        """Nothing is remembered of one call in the next, and trust changes who is asked."""
        first = explorer.at(threshold=0.3).figures()
        explorer.at(threshold=0.9)
        assert explorer.at(threshold=0.3).figures() == first
        short, long = (explorer.at(threshold=0.1, trust_days=days).figures() for days in (1, 90))
        assert short["challenge_rate"] > long["challenge_rate"]

    def test_the_table_sets_it_beside_the_start(self, explorer: Explorer):
        text = repr(explorer.at(threshold=0.7))
        assert "challenge_at: 0.45 → 0.7" in text
        assert "at the start" in text
        assert explorer.at()._repr_html_().startswith("<table")

    @pytest.mark.parametrize(
        ("settings", "said"),
        [
            ({"threshold": 1.5}, "challenge_at"),
            ({"threshold": float("nan")}, "challenge_at"),
            ({"points": {"new_device": 2.0}}, "new_device"),
            ({"points": {"nonsense": 0.2}}, "nonsense"),
            ({"trust_days": -1}, "trust_device_days"),
            ({"timeout_seconds": 1}, "timeout_seconds"),
        ],
    )
    def test_what_a_policy_refuses_is_refused(self, explorer: Explorer, settings: dict, said: str):
        with pytest.raises(InputError, match=said):
            explorer.at(**settings)

    def test_a_policy_without_weights_or_threshold_is_refused(self, world: World):
        freeman = Policy(name="f", scorer="freeman", model="f.skops")
        for policy in (Policy.password_only(), freeman):
            with pytest.raises(InputError, match="goes by the rules"):
                Explorer(world, policy)


class TestSample:
    def test_a_small_world_is_taken_whole(self, world: World):
        sample = sample_of(world, 200_000)
        assert (sample.facts.logins, sample.facts.attacks, sample.facts.users) == (
            world.facts.logins, world.facts.attacks, 600,
        )  # fmt: skip
        of_both = [compare(w, [RISK], replicates=4, progress=False).results[0]
                   for w in (world, sample)]  # fmt: skip
        assert of_both[0].takeovers == of_both[1].takeovers
        assert of_both[0].challenge_rate.value == of_both[1].challenge_rate.value

    def test_of_a_larger_one_whole_accounts(self, tmp_path):
        simulate("us-consumer", users=600, days=60, seed=3, out=tmp_path / "run", progress=False)
        whole = open_run(tmp_path / "run")
        sample = sample_of(whole, whole.facts.logins // 3)
        assert 0.2 < sample.facts.logins / whole.facts.logins < 0.5
        rows = whole.logins(None)
        kept = sample.logins(None)
        own = rows[rows["user_id"].isin(kept["user_id"])]
        assert len(own) == len(kept)
        assert (own["login_id"].to_numpy() == kept["login_id"].to_numpy()).all()
        assert len(sample.people(None)) == sample.facts.users
        assert "A sample of" in sample.facts.assumptions[-1]

    def test_none_is_refused(self, world: World):
        with pytest.raises(InputError, match="take 1 or more"):
            sample_of(world, 0)


class TestPanel:
    def test_moving_a_slider_shows_a_comparisons_figures(self, explorer: Explorer, panel: Panel):
        before, picture, table = panel.position, panel.image.value, panel.figures.value
        assert before.figures() == compared(explorer, RISK)
        panel.sliders["threshold"].value = 0.6
        assert panel.position.policy.challenge_at == 0.6
        assert panel.position.figures() != before.figures()
        assert panel.position.figures() == compared(explorer, panel.position.policy)
        assert panel.image.value != picture
        assert panel.figures.value != table
        told = f"{100 * panel.position.figures()['challenge_rate']:.2f} %"
        assert told in panel.figures.value

    @pytest.mark.parametrize("name", ["threshold", *SIGNALS, "trust_days", "timeout_seconds"])
    def test_every_slider_is_connected(self, explorer: Explorer, panel: Panel, name: str):
        slider = panel.sliders[name]
        slider.value = slider.max if slider.value < 0.5 * slider.max else slider.min
        changed = RISK.differences(panel.position.policy)
        assert len(changed) == 2  # the name and one setting
        assert panel.position.figures() == compared(explorer, panel.position.policy)
        assert panel.position.figures() != explorer.at().figures()

    def test_back_at_the_start_it_is_the_start(self, panel: Panel):
        first = panel.position.figures()
        panel.sliders["threshold"].value = 0.2
        panel.sliders["threshold"].value = RISK.challenge_at
        assert panel.position.policy == RISK
        assert panel.position.figures() == first

    def test_sliders_have_room_for_the_policy(self, world: World):
        wide = RISK.model_copy(update={"trust_device_days": 200.0, "deny_at": 0.9})
        made = Panel(Explorer(world, wide))
        assert made.position.policy == wide
        made.sliders["threshold"].value = 1.0  # above what is denied: held back
        assert made.position.policy.challenge_at == 0.9

    def test_it_is_displayed_and_has_a_picture_where_no_notebook_runs(self, explorer: Explorer):
        shown = explorer._repr_mimebundle_()
        assert "application/vnd.jupyter.widget-view+json" in shown
        assert base64.b64decode(shown["image/png"])[1:4] == b"PNG"
        assert "challenged" in shown["text/plain"]


class TestPicture:
    def test_what_is_drawn_over_is_what_would_be_drawn_anew(self, explorer: Explorer):
        """Artists on a kept background give the pixels of a whole drawing."""
        kept, way = Picture(explorer.start), [0.2, 0.7, 0.6]
        for threshold in way:
            pixels = kept.png(explorer.at(threshold=threshold).result)
        kept._background = None
        anew = kept.png(explorer.at(threshold=0.6).result)
        one, other = (np.asarray(Image.open(io.BytesIO(png))) for png in (pixels, anew))
        assert (one == other).all()

    def test_it_holds_what_it_has_to_show(self, explorer: Explorer):
        """An axis grows where it must, and the figure for export shows what moves too."""
        picture = Picture(explorer.start)
        figure = picture.show(explorer.at(threshold=0.0, trust_days=0.0).result)
        lost = 100 * (1 - explorer.at(threshold=0.0, trust_days=0.0).figures()["conversion"])
        assert figure.axes[0].get_xlim()[1] > lost
        assert not any(line.get_animated() for line in figure.axes[0].lines)
        assert "asks" in figure.axes[0].get_title(loc="left")
