"""The committed sample logs are what their script writes."""

import runpy
from pathlib import Path

DATA = Path(__file__).resolve().parents[1] / "data"


def test_the_script_writes_the_committed_samples(tmp_path):
    runpy.run_path(str(DATA / "make_samples.py"))["write"](tmp_path)
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert written == {path.name: path.read_bytes() for path in (DATA / "logs").iterdir()}
    assert len(written) == 3
