"""Experiments: speed, and whether every procedure keeps what it promises.

First the speed of drawing, playing and analysing one experiment by every estimator, beside a bare
pass over the same table. Then the proofs by simulation, each figure with its Monte-Carlo error.
"""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from twofa_lab.analysis.experiment_coverage import coverage, exact_coverage
from twofa_lab.analysis.experiment_proof import (
    false_positives,
    optional_stopping,
    realised_power,
)
from twofa_lab.analysis.experiments import signup_experiment
from twofa_lab.traffic.signup import Arm, signup_world

VISITORS = 200_000
ARMS = {"control": Arm.phone_only(), "treatment": Arm.forced("sms")}


def timed(label, function):
    began = time.perf_counter()
    found = function()
    print(f"{label:58} {time.perf_counter() - began:7.2f} s")
    return found


def every_estimator(run):
    """All that `Experiment` offers: by household, so that the cluster methods run too."""
    experiment = signup_experiment(planned=VISITORS, cluster="cluster")
    analysis = experiment.analyse(run)
    analysis.margins(), analysis.bayes()
    for metric in ("sign_ups", "activation"):
        analysis.segments(metric), analysis.novelty(metric), analysis.look_at(metric)
    return analysis


def speed() -> None:
    print(f"one experiment of {VISITORS:,} visitors")
    began = time.perf_counter()
    world = timed("visitors drawn", lambda: signup_world(visitors=VISITORS, seed=7))
    run = timed("two arms played", lambda: world.experiment(ARMS, by="cluster"))
    timed("analysed by every estimator", lambda: every_estimator(run))
    print(f"{'in all (aim: under 10 s)':58} {time.perf_counter() - began:7.2f} s")
    numbers = [run.codes[name] for name in run if run.codes[name].dtype.kind in "bif"]

    def bare():
        inside = run.codes["arm"] == 1
        return [(np.mean(x[inside]), np.mean(x[~inside])) for x in numbers]

    timed("yardstick: means of every column in both arms", bare)


def proofs(pool) -> None:
    world = signup_world(visitors=VISITORS, seed=3)
    arms = ARMS["control"], ARMS["treatment"]
    for label, function in (
        ("2,000 A/A tests (aim: under 3 minutes on two cores)",
         lambda: false_positives(2_000, 20_000, executor=pool)),
        ("coverage", lambda: coverage(world, *arms, repeats=1_000, executor=pool)),
        ("coverage of the exact interval", exact_coverage),
        ("power", lambda: realised_power(world, *arms)),
        ("optional stopping", optional_stopping),
    ):  # fmt: skip
        print()
        proof = timed(label, function)
        print(proof)
        print(f"do not hold: {len(proof.failed)} of {len(proof.rates)}")


def main() -> None:
    speed()
    with ProcessPoolExecutor(2) as pool:
        proofs(pool)


if __name__ == "__main__":
    main()
