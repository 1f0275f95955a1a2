"""What is exported: a file Prometheus' own parser reads, and a dashboard over just its names."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from twofa_lab.analysis.monitoring import Monitoring, monitor
from twofa_lab.analysis.monitoring_limits import LimitRules
from twofa_lab.analysis.monitoring_tallies import COUNTS
from twofa_lab.errors import WorkError
from twofa_lab.risk.policy import Policy
from twofa_lab.traffic.world import World


@pytest.fixture(scope="module")
def watched(world: World) -> Monitoring:
    return monitor(world, Policy.universal(), rules=LimitRules(learn_days=20))


def samples(text: str) -> dict[tuple[str, str], float]:
    """Every sample by name and labels, as Prometheus' parser reads them."""
    found = [s for family in text_string_to_metric_families(text) for s in family.samples]
    keys = [(s.name, " ".join(s.labels.values())) for s in found]
    assert len(set(keys)) == len(keys)
    assert all(s.timestamp is None for s in found)  # the textfile collector refuses them
    return {key: s.value for key, s in zip(keys, found, strict=True)}


def test_the_file_says_what_was_counted(watched: Monitoring, tmp_path: Path) -> None:
    path = tmp_path / "twofa.prom"
    text = watched.to_prometheus(path)
    assert path.read_text() == text
    assert [p.name for p in tmp_path.iterdir()] == ["twofa.prom"]
    found = samples(text)
    sums = dict(zip(COUNTS, watched.tallies.overall.sum(axis=0), strict=True))
    assert found["twofa_challenges_total", ""] == sums["challenged"]
    assert found["twofa_message_cost_usd_total", ""] == pytest.approx(sums["cents"] / 100)
    by_channel = [v for (name, _), v in found.items() if name == "twofa_messages_by_channel_total"]
    assert sum(by_channel) == sums["messages"]
    for chart in watched.charts:
        name = chart.measure.name
        assert found["twofa_alarm", name] in (0.0, 1.0)
        if np.isfinite(chart.value[-1]):
            low, high = (found[f"twofa_watched_{end}", name] for end in ("low", "high"))
            assert low <= found["twofa_watched_expected", name] <= high


def test_every_metric_has_a_type_and_a_help(watched: Monitoring) -> None:
    for family in text_string_to_metric_families(watched.to_prometheus()):
        assert family.documentation
        assert family.type in ("counter", "gauge")


def test_a_dashboard_asks_for_what_is_exported_only(watched: Monitoring, tmp_path: Path) -> None:
    board: dict[str, Any] = json.loads(watched.to_dashboard(tmp_path / "board.json"))
    exported = {name for name, _ in samples(watched.to_prometheus())}
    exported |= {name.replace("_by_channel_", "_by_provider_") for name in exported}  # an audit's
    panels = board["panels"]
    assert {"uid", "title", "schemaVersion", "templating", "time"} <= set(board)
    assert len({p["id"] for p in panels}) == len(panels) > 20
    taken = set()
    for panel in panels:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${source}"}
        place = panel["gridPos"]
        cells = {
            (place["x"] + i, place["y"] + j) for i in range(place["w"]) for j in range(place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
        assert panel["targets"]
        for target in panel["targets"]:
            names = set(re.findall(r"twofa_\w+", target["expr"]))
            assert names
            assert names <= exported, panel["title"]
            assert target["expr"].count("(") == target["expr"].count(")")


def test_a_file_that_cannot_be_written_is_said(watched: Monitoring, tmp_path: Path) -> None:
    with pytest.raises(WorkError, match="cannot write"):
        watched.to_prometheus(tmp_path / "none" / "twofa.prom")
