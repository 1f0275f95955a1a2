"""A learned scorer made by hand, under which every signal counts: what goes unread shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from twofa_lab.risk.additive import Additive
from twofa_lab.risk.learned import Learned
from twofa_lab.risk.model_card import ModelCard
from twofa_lab.risk.model_file import save_scorer
from twofa_lab.risk.policy import Policy
from twofa_lab.risk.vector import VECTOR, names

EDGES: dict[str, tuple[float, ...]] = {
    "failures": (0.5, 1.5, 2.5),
    "travel_kmh": (1.0, 100.0, 1_000.0),
    "rtt_deviation": (0.25, 0.5, 1.0, 2.0, 4.0),
    "age_days": (-0.5, 1.0, 7.0, 30.0),
    "since_last_days": (-0.5, 0.01, 1.0, 7.0),
    "ip_accounts": (0.5, 1.5, 2.5, 9.5),
    "ip_failures": (0.5, 1.5, 9.5),
}


def every_signal() -> Learned:
    """The scorer; a step of any signal changes the score, and no two signals by the same."""
    edges = [EDGES.get(signal.name, (0.5,)) for signal in VECTOR]
    width = max(map(len, edges))
    additive = Additive(
        np.full((len(edges), width), np.inf),
        np.array([len(some) for some in edges], np.int64),
        np.zeros((len(edges), width + 1)),
        np.array([-2.0]),
    )
    for row, some in enumerate(edges):
        additive.edges[row, : len(some)] = some
        additive.points[row, : len(some) + 1] = (0.3 + 0.01 * row) * np.arange(len(some) + 1)
    card = ModelCard("learned", {}, {}, {}, "none", "none", names(), "none", (), 0, {}, {})
    return Learned(additive, None, card)


def learned_policy(folder: Path, scorer: Learned | None = None, **changes: Any) -> Policy:
    """A policy that goes by it, or by another, from a file in that folder."""
    path = save_scorer(scorer or every_signal(), folder / "model.skops")
    given = {"name": "learned", "scorer": "learned", "model": str(path), "challenge_at": 0.3}
    return Policy.model_validate(given | changes)
