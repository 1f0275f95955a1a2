"""Compiled code is kept by the content of every source it was made from."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

import twofa_lab
from twofa_lab.compiled import mix, sources
from twofa_lab.replay.loop import replay_rows


def test_every_compiled_module_names_the_cache() -> None:
    package = Path(twofa_lab.__file__).parent
    compiled = {
        path
        for path in package.rglob("*.py")
        if re.search(r"^@(loop|part|allocating)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert len(compiled) > 8
    assert compiled <= set(sources())
    assert package / "catalog" / "factors.py" in sources()  # its constants are frozen in the loop


def test_machine_code_lies_in_a_folder_of_its_source() -> None:
    assert "compiled-" in replay_rows.stats.cache_path


def test_the_hash_is_the_published_one() -> None:
    # the reference generator seeded with 1234567: state advances by the golden gamma
    gamma, state, found = 0x9E3779B97F4A7C15, 1234567, []
    for _ in range(3):
        found.append(int(mix(np.uint64(state))))
        state = (state + gamma) % 2**64
    assert found == [6457827717110365317, 3203168211198807973, 9817491932198370423]
