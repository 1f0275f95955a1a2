"""When should a login be asked for a second factor, with which one, and what does that cost?

Five lines in a notebook::

    import twofa_lab as lab
    world = lab.simulate("us-consumer", users=50_000, days=90, seed=7)
    study = lab.compare(world, [lab.Policy.password_only(), lab.Policy.universal(),
                                lab.Policy.risk_based()])
    study
    study.plot()

Names are loaded when first used, so that importing the package is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twofa_lab.analysis.comparison import compare
    from twofa_lab.analysis.contest import contest
    from twofa_lab.analysis.realism import realism
    from twofa_lab.analysis.thresholds import tune
    from twofa_lab.errors import InputError, LabError, WorkError
    from twofa_lab.replay.explain import explain
    from twofa_lab.replay.fit import fit_scorer
    from twofa_lab.replay.parity import parity
    from twofa_lab.replay.run import outcomes
    from twofa_lab.risk.policy import Policy
    from twofa_lab.traffic.readers.log_world import read_logs
    from twofa_lab.traffic.scenario import Scenario, scenario_names
    from twofa_lab.traffic.simulate import simulate
    from twofa_lab.traffic.storage import open_run as load
    from twofa_lab.traffic.world import World

__version__ = "0.1.0"

__all__ = [
    "InputError",
    "LabError",
    "Policy",
    "Scenario",
    "WorkError",
    "World",
    "compare",
    "contest",
    "explain",
    "fit_scorer",
    "load",
    "outcomes",
    "parity",
    "read_logs",
    "realism",
    "scenario_names",
    "simulate",
    "tune",
]

_HOMES = {
    "InputError": "errors",
    "LabError": "errors",
    "WorkError": "errors",
    "Policy": "risk.policy",
    "Scenario": "traffic.scenario",
    "scenario_names": "traffic.scenario",
    "World": "traffic.world",
    "simulate": "traffic.simulate",
    "load": "traffic.storage",
    "read_logs": "traffic.readers",
    "outcomes": "replay.run",
    "parity": "replay.parity",
    "compare": "analysis.comparison",
    "contest": "analysis.contest",
    "explain": "replay.explain",
    "fit_scorer": "replay.fit",
    "realism": "analysis.realism",
    "tune": "analysis.thresholds",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = import_module(f"{__name__}.{_HOMES[name]}")
    return getattr(found, {"load": "open_run"}.get(name, name))


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
