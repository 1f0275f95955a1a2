"""An audit of less than a day has no whole day to show, and is watched all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flow.lab import make_lab
from twofa_lab.analysis.monitoring import Monitoring, monitor_audit
from twofa_lab.store.archive import export
from twofa_lab.store.engine import connect, read
from twofa_lab.store.migrations import upgrade


@pytest.fixture
def watched(tmp_path: Path) -> Monitoring:
    engine = connect("sqlite://")
    upgrade(engine)
    lab = make_lab(engine)
    lab.sign_up()
    assert lab.strange_login().status == "asked"
    with read(engine) as c:
        export(c, tmp_path / "audit.parquet")
    return monitor_audit(tmp_path / "audit.parquet")


def test_an_hour_is_counted_though_no_day_is_whole(watched: Monitoring) -> None:
    found = watched.to_dict()
    assert found["daily"] == []
    assert found["totals"]["attempts"] == 1.0
    assert found["alarms"] == []


def test_it_prints_and_draws(watched: Monitoring, tmp_path: Path) -> None:
    for text in (str(watched), watched.sentence(), str(watched.table()), watched._repr_html_()):
        assert text
    watched.plot().savefig(tmp_path / "watched.png")
    watched.to_prometheus(tmp_path / "watched.prom")
    assert "twofa" in (tmp_path / "watched.prom").read_text()
