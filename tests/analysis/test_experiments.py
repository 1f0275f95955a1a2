"""Experiments on a sign-up world: every estimate beside the truth, checks that catch, decisions."""

import numpy as np
import pytest
from scipy import stats

from twofa_lab.analysis.estimators import Moments, holm, mean_difference
from twofa_lab.analysis.experiment_data import Metric, Sample
from twofa_lab.analysis.experiment_estimates import estimate, exact_ratio
from twofa_lab.analysis.experiment_figures import plot_peeking
from twofa_lab.analysis.experiment_looks import look_at
from twofa_lab.analysis.experiment_segments import novelty, segments
from twofa_lab.analysis.experiments import Experiment, signup_experiment
from twofa_lab.analysis.power import noninferiority_sizes, superiority_sizes
from twofa_lab.analysis.proportions import miettinen_nurminen_interval
from twofa_lab.errors import InputError
from twofa_lab.traffic.signup import Arm, signup_world

N = 60_000
CONTROL, FORCED = Arm.phone_only(), Arm.forced("totp")
ARMS = {"control": CONTROL, "treatment": FORCED}


@pytest.fixture(scope="module")
def world():
    return signup_world(visitors=N, seed=11)


@pytest.fixture(scope="module")
def run(world):
    return world.experiment(ARMS)


@pytest.fixture(scope="module")
def analysis(run):
    return signup_experiment(planned=N).analyse(run)


@pytest.fixture(scope="module")
def truth(world):
    return world.outcomes(CONTROL), world.outcomes(FORCED)


class TestEstimates:
    def test_every_method_is_near_the_truth(self, analysis, truth):
        control, treatment = truth
        for result in analysis.results:
            m = result.metric
            true = [
                t[m.column].sum(dtype=float) / (t[m.per].sum() if m.per else t.visitors)
                for t in (treatment, control)
            ]
            for effect in result.methods:
                if effect.of_ratio and not true[1]:
                    continue  # nobody enrols in the control
                expected = true[0] / true[1] if effect.of_ratio else true[0] - true[1]
                # four standard errors: 95 % intervals are 1.96 on each side
                half = 0.5 * (effect.high - effect.low)
                assert abs(effect.value - expected) < 4 / 1.96 * half, (m.name, effect)
                assert effect.low < effect.value < effect.high

    def test_the_estimate_to_go_by_is_the_building_blocks(self, run, analysis):
        a, b = (run["signed_up"][run["arm"] == arm] for arm in ("treatment", "control"))
        low, high = miettinen_nurminen_interval(a.sum(), len(a), b.sum(), len(b))
        effect = analysis["sign_ups"].effect
        assert (effect.low, effect.high) == pytest.approx((low, high))
        a, b = (run["tickets"][run["arm"] == arm] for arm in ("treatment", "control"))
        found = mean_difference(Moments.of(a), Moments.of(b))
        assert analysis["tickets"].effect.pvalue == pytest.approx(found.pvalue)
        ratio = analysis["login_success"]
        arms = run["arm"] == "treatment"
        assert ratio.value_a == pytest.approx(
            run["completed"][arms].sum() / run["logins"][arms].sum()
        )

    def test_cuped_narrows_what_the_covariate_foretells(self):
        rng = np.random.default_rng(4)
        before = rng.poisson(3.0, 8_000)
        table = {
            "arm": np.where(rng.random(8_000) < 0.5, "treatment", "control"),
            "before": before,
            "after": before + rng.normal(0, 1, 8_000),
        }
        sample = Sample.of(table, "arm", "treatment", "control")
        plain = estimate(sample, Metric.mean("after")).effect
        less = estimate(sample, Metric.mean("after", covariate="before")).effect
        # the variance left is that of the noise: 1 of 1 + 3
        assert (less.high - less.low) / (plain.high - plain.low) == pytest.approx(0.5, abs=0.03)

    def test_clusters_widen_what_households_share(self):
        rng = np.random.default_rng(5)
        cluster = np.repeat(np.arange(2_000), 4)
        y = np.repeat(rng.random(2_000) < 0.4, 4)  # wholly alike: the design effect is 4
        arm = np.where(cluster % 2 == 0, "treatment", "control")
        table = {"arm": arm, "y": y, "cluster": cluster}
        alone = estimate(Sample.of(table, "arm", "treatment", "control"), Metric.binary("y")).effect
        together = estimate(
            Sample.of(table, "arm", "treatment", "control", "cluster"), Metric.binary("y")
        ).effect
        assert (together.high - together.low) / (alone.high - alone.low) == pytest.approx(
            2, rel=0.02
        )

    def test_exact_ratio_is_published(self):
        # Clopper and Pearson for 7 of 10: 0.3475 to 0.9333; equal arms, so a ratio of p / (1 - p)
        low, high, p = exact_ratio(7, 500, 3, 500)
        assert low == pytest.approx(0.3475 / 0.6525, rel=1e-3)
        assert high == pytest.approx(0.9333 / 0.0667, rel=2e-3)
        assert p == pytest.approx(2 * stats.binom.sf(6, 10, 0.5))
        assert exact_ratio(0, 10, 0, 10) == (0.0, float("inf"), 1.0)
        assert exact_ratio(4, 10, 0, 10)[1] == float("inf")

    def test_small_arms_get_exact_methods(self):
        rng = np.random.default_rng(2)
        table = {"arm": np.repeat(["treatment", "control"], 20), "y": rng.random(40) < 0.3,
                 "day": np.zeros(40, int)}  # fmt: skip
        found = Experiment((Metric.binary("y", role="goal"),)).analyse(table)
        assert {"exact (Chan-Zhang)", "ratio, exact"} <= {e.method for e in found["y"].methods}


class TestChecks:
    def test_a_sound_experiment_passes(self, analysis):
        assert analysis.checks.passed
        assert len(analysis.checks.checks) == 1 + 4 + 4

    def test_lost_visitors_stop_everything(self, run):
        rng = np.random.default_rng(1)
        kept = run.where((run["arm"] == "control") | (rng.random(N) > 0.05))
        found = signup_experiment(planned=N).analyse(kept)
        assert not found.checks.mismatch.passed
        assert found.decision.verdict == "stop"
        assert found.decision.binding == ("sample ratio",)

    def test_scripts_in_one_arm_are_seen(self, run):
        kept = run.where((run["arm"] == "control") | ~run["flagged"])
        found = signup_experiment(planned=N).analyse(kept)
        assert "scripts: flagged" in [c.name for c in found.checks.failed]

    def test_groups_in_one_arm_are_seen(self, run):
        keep = (run["arm"] == "control") | (run["channel"] != "social")
        failed = [c.name for c in signup_experiment().analyse(run.where(keep)).checks.failed]
        assert {"sample ratio", "balance: channel"} <= set(failed)

    def test_filtering_by_what_was_known_before_is_fine(self, run):
        found = signup_experiment(planned=N).analyse(run.where(~run["flagged"]))
        assert found.checks.passed


class TestMargins:
    def test_worse_yet_within_the_margin(self, run):
        wide = signup_experiment(planned=N, lost_sign_ups=0.2).analyse(run)["sign_ups"]
        low, high = wide.good
        assert high < 0 < low + 0.2  # significantly worse, and non-inferior
        assert wide.worse_by_margin < 1e-6

    @pytest.mark.parametrize("better", ["higher", "lower"])
    def test_the_test_agrees_with_the_interval(self, run, better):
        sample = Sample.of(run, "arm", "treatment", "control")
        for margin in np.linspace(0.005, 0.15, 12):
            metric = Metric.binary("signed_up", role="guardrail", better=better, margin=margin)
            found = estimate(sample, metric)
            assert (found.worse_by_margin < 0.025) == (found.good[0] > -margin)


class TestLooks:
    def test_interim_looks_are_those_of_the_data_so_far(self, run):
        experiment = signup_experiment(planned=N)
        whole, half = experiment.analyse(run), experiment.analyse(run, through_day=13)
        assert half.looks.last.visitors == int((run["day"] <= 13).sum())
        assert half.looks.last.information < 0.6
        assert half.looks.looks[0] == whole.looks.looks[0]
        assert whole.looks.last.information == 1.0

    def test_statistics_are_those_of_the_table_so_far(self, run):
        sample = Sample.of(run, "arm", "treatment", "control")
        for metric in (Metric.binary("signed_up"), Metric.mean("tickets"),
                       Metric.ratio("success", "completed", "logins")):  # fmt: skip
            found = look_at(sample, metric, day="day", looks=3, planned=N, kind="lan-demets-pocock")
            for look in found.looks:
                a, b = (d <= look.day for d in sample.column("day"))
                here = estimate(sample.part(a, b), metric).effect
                assert look.effect == pytest.approx(here.value)
                assert abs(look.z) == pytest.approx(stats.norm.isf(here.pvalue / 2), rel=0.02)

    def test_intervals_and_bounds_agree(self, analysis):
        for name in ("takeovers", "sign_ups", "tickets"):
            for look in analysis.look_at(name).looks:
                assert look.crossed == (look.low > 0 or look.high < 0)

    def test_the_sequence_is_wider_than_one_look(self, analysis):
        found = analysis.look_at("sign_ups")
        known = np.isfinite(found.low)
        assert known.any()
        assert (found.high - found.low)[known].min() > analysis["sign_ups"].effect.high - (
            analysis["sign_ups"].effect.low
        )

    def test_too_early_for_a_decision(self, run):
        found = signup_experiment(planned=N).analyse(run, through_day=0)
        assert found.decision.verdict == "continue"


class TestGroupsAndDays:
    def test_groups_partition_the_visitors(self, run, analysis):
        found = analysis.segments("sign_ups")
        for column in ("device", "channel"):
            rows = [s for s in found.segments if s.column == column]
            assert sum(s.result.n_a + s.result.n_b for s in rows) == N
        assert all(s.differs <= s.benjamini_hochberg <= s.holm for s in found.segments)

    def test_a_real_difference_between_groups_is_found_and_noise_is_not(self):
        rng = np.random.default_rng(3)
        n = 40_000
        group, arm = rng.integers(0, 8, n), rng.integers(0, 2, n)
        for more in (0.0, 0.1):
            y = rng.random(n) < 0.3 + 0.05 * arm + more * arm * (group == 5)
            table = {"arm": np.array(["control", "treatment"])[arm], "y": y,
                     "group": group.astype(str)}  # fmt: skip
            sample = Sample.of(table, "arm", "treatment", "control")
            found = segments(sample, Metric.binary("y"), ("group",)).segments
            # the others differ from "all others" too, which group 5 is part of, but by less
            least = min(found, key=lambda s: s.differs)
            assert (least.holm < 1e-4) == (more > 0)
            assert more == 0.0 or least.value == "5"
            adjusted = [s.holm for s in found]
            assert adjusted == pytest.approx(list(holm([s.differs for s in found])))

    def test_an_effect_that_wears_off_is_seen(self):
        rng = np.random.default_rng(3)
        n = 60_000
        day, arm = rng.integers(0, 14, n), rng.integers(0, 2, n)
        for fades, expected in ((0.0, False), (0.1, True)):
            y = rng.random(n) < 0.3 + arm * (0.1 - fades * day / 14)
            table = {"arm": np.array(["control", "treatment"])[arm], "y": y, "day": day}
            sample = Sample.of(table, "arm", "treatment", "control")
            found = novelty(sample, Metric.binary("y"), "day")
            assert (found.pvalue < 0.01) == expected
            if expected:
                assert found.slope == pytest.approx(-0.1 / 14, abs=4 * found.slope_error)


class TestSentence:
    def test_the_sentence_holds_the_figures(self, analysis):
        text = analysis.sentence()
        assert analysis.decision.verdict == "stop"
        assert analysis.decision.binding == ("sign_ups", "activation")
        for name in ("takeovers", "sign_ups", "activation", "tickets"):
            result = next(r for r in analysis.at_bound if r.metric.name == name)
            assert result.metric.change(result.effect.value) in text
            assert result.metric.title in text


class TestDesign:
    def design(self, world, **settings):
        pilot = world.outcomes(CONTROL)
        effects = {"takeovers": -0.8, "sign_ups": -0.03}
        return signup_experiment(**settings).design(
            pilot, effects=effects, visitors_per_day=5_000
        ), pilot

    def test_sizes_are_those_of_the_building_blocks(self, world):
        found, pilot = self.design(world)
        p = pilot["taken_over"].mean()
        assert (found["takeovers"].n_a, found["takeovers"].n_b) == superiority_sizes(0.2 * p, p)
        p = pilot["signed_up"].mean()
        expected = noninferiority_sizes(0.97 * p, p, 0.03, alpha=0.025)
        assert (found["sign_ups"].n_a, found["sign_ups"].n_b) == expected
        assert found.duration == max(need.total for need in found.needs) / 5_000
        assert set(found.curves) == {"takeovers", "sign_ups", "activation", "tickets"}

    def test_a_mean_needs_what_the_formula_says(self, world):
        found, pilot = self.design(world)
        variance = pilot["tickets"].var(ddof=1)
        z = stats.norm.isf(0.025) + stats.norm.ppf(0.8)
        assert found["tickets"].n_a == np.ceil(2 * z**2 * variance / 0.01**2)

    def test_unequal_arms_need_more(self, world):
        even, _ = self.design(world)
        odd, _ = self.design(world, shares={"treatment": 0.1, "control": 0.9})
        assert odd.total > even.total
        assert odd["sign_ups"].n_b == pytest.approx(9 * odd["sign_ups"].n_a, abs=9)

    def test_households_need_more(self, world):
        alone, _ = self.design(world)
        together, _ = self.design(world, cluster="cluster")
        deff = together["sign_ups"].design_effect
        assert 1.01 < deff < 1.3
        assert together["sign_ups"].n_a == pytest.approx(deff * alone["sign_ups"].n_a, rel=1e-3)

    def test_what_is_wholly_alike_counts_once(self):
        rng = np.random.default_rng(1)
        table = {"y": np.repeat(rng.random(3_000) < 0.3, 3), "cluster": np.repeat(range(3_000), 3)}
        experiment = Experiment((Metric.binary("y", role="goal"),), cluster="cluster")
        found = experiment.design(table, effects={"y": 0.2}, visitors_per_day=10)
        assert found["y"].design_effect == pytest.approx(3.0)


class TestRendering:
    def test_everything_renders_and_plots(self, analysis, truth, world):
        reveal = analysis.reveal(*truth)
        pilot = world.outcomes(CONTROL)
        design = analysis.experiment.design(
            pilot, effects={"takeovers": -0.5}, visitors_per_day=999
        )
        results = (analysis, analysis.checks, analysis.looks, analysis.segments("sign_ups"),
                   analysis.novelty("sign_ups", 7), reveal, design)  # fmt: skip
        for result in results:
            assert "<table" in result._repr_html_()
            assert len(repr(result).splitlines()) > 3
        for sheet in (analysis.margins(), analysis.bayes(), analysis.methods("sign_ups")):
            assert sheet.rows
        for figure in (
            analysis.plot(), reveal.plot(), design.plot(), analysis.plot_looks("sign_ups"),
            analysis.plot_segments("sign_ups"), analysis.plot_novelty("sign_ups"), plot_peeking(5),
        ):  # fmt: skip
            assert figure._repr_png_()[:4] == b"\x89PNG"

    def test_export(self, analysis):
        import json

        found = json.loads(json.dumps(analysis.to_dict()))
        assert found["metrics"]["sign_ups"]["effect"] == analysis["sign_ups"].effect.value
        assert found["verdict"] == "stop"
        assert analysis.sentence() in analysis.to_markdown()

    def test_a_frame_will_do(self, run, analysis):
        found = signup_experiment(planned=N).analyse(run.to_pandas())
        assert found["sign_ups"].effect == analysis["sign_ups"].effect
        assert found.decision.sentence == analysis.decision.sentence

    def test_by_household(self, world):
        run = world.experiment(ARMS, by="cluster")
        found = signup_experiment(planned=N, cluster="cluster").analyse(run)
        assert found.checks.passed
        methods = {e.method: e for e in found["sign_ups"].methods}
        delta, drawn = methods["clusters, delta method"], methods["clusters, bootstrap"]
        width = drawn.high - drawn.low
        assert width == pytest.approx(delta.high - delta.low, rel=0.2)
        assert found["sign_ups"].effect == delta


def only(metric):
    return Experiment((metric,))


class TestInput:
    @pytest.mark.parametrize(
        ("call", "match"),
        [
            (lambda run: Metric.binary("x", role="guardrail"), "needs a margin"),
            (lambda run: Metric.binary("x", margin=1.5), "below 1"),
            (lambda run: Metric.mean("x", margin=-1), "0 or more"),
            (lambda run: Experiment(()), "different names"),
            (lambda run: Experiment((Metric.binary("x"),)), "must be the goal"),
            (lambda run: signup_experiment(treatment="control"), "one arm"),
            (lambda run: signup_experiment(shares={"a": 1.0}), "shares must name"),
            (lambda run: signup_experiment(planned=1), "planned"),
            (lambda run: signup_experiment(treatment="b").analyse(run), "arm 'b'"),
            (lambda run: signup_experiment().analyse({"arm": run["arm"]}), "no column"),
            (lambda run: signup_experiment().metric("x"), "no metric 'x'"),
            (
                lambda run: signup_experiment().analyse(run.where(run["day"] < 2))["x"],
                "no metric 'x'",
            ),
            (lambda run: only(Metric.binary("logins", role="goal")).analyse(run), "true"),
            (lambda run: only(Metric.mean("kind", role="goal")).analyse(run), "numbers"),
            (lambda run: only(Metric.mean("enrolled_day", role="goal")).analyse(run), "NaN"),
            (lambda run: signup_experiment(looks=0).analyse(run), "looks"),
            (lambda run: signup_experiment().analyse(run, through_day=-1), "by day -1"),
            (
                lambda run: signup_experiment().design(run, effects={"x": 1}, visitors_per_day=1),
                "no metric 'x'",
            ),
        ],
    )  # fmt: skip
    def test_is_refused_in_one_line(self, run, call, match):
        with pytest.raises(InputError, match=match) as error:
            call(run)
        assert "\n" not in str(error.value)
