"""Run directories that somebody else made: spoilt ones, and ones made to harm.

Compiled code indexes by what is in them, so a spoilt run that opens is replayed as well.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import twofa_lab as lab
from tests.fuzz.mutations import count, rng_of, spoilt, spoilt_value, survives
from twofa_lab.errors import InputError
from twofa_lab.replay.run import replay_shard
from twofa_lab.risk.policy import Policy
from twofa_lab.traffic.storage import RunWriter, open_run

POLICY = Policy.risk_based()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz") / "run"
    lab.simulate("us-consumer", users=60, days=5, seed=1, out=folder)
    opened(folder)  # compiles the loop, which may take longer than one input is given
    return folder


@pytest.fixture
def run(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "run"))


def opened(folder: Path) -> None:
    """Open, read and replay a run, as a comparison does."""
    world = open_run(folder)
    for shard in world.shards():
        replay_shard(shard, world.facts, POLICY)


def declare_sizes(folder: Path) -> None:
    """Let the manifest say what the files are now: whoever spoils them would do so."""
    path = folder / "manifest.json"
    content = json.loads(path.read_text("utf-8"))
    content["files"] = {name: (folder / name).stat().st_size for name in content["files"]}
    path.write_text(json.dumps(content), "utf-8")


# -- runs ------------------------------------------------------------------------------------------


def test_manifests(saved: Path, run: Path) -> None:
    rng, whole = rng_of("manifests"), (saved / "manifest.json").read_bytes()
    content = json.loads(whole)

    def contents() -> Iterator[bytes]:
        yield whole
        for _ in range(count(40)):
            yield json.dumps(spoilt_value(content, rng)).encode("utf-8", "surrogatepass")
            facts = spoilt_value(content["facts"], rng)
            yield json.dumps({**content, "facts": facts}).encode("utf-8", "surrogatepass")
            yield spoilt(whole, rng)

    def read(data: bytes) -> None:
        (run / "manifest.json").write_bytes(data)
        opened(run)

    came = survives("run manifests", contents(), read)
    assert came["taken"]


def spoilt_table(table: pa.Table, rng: random.Random) -> pa.Table:  # noqa: PLR0911 - one a case
    """A table with one column wild, moved, of another type or gone, or its rows in disorder."""
    name = rng.choice(table.column_names)
    place, column = table.column_names.index(name), table.column(name)
    kind, n = column.type, table.num_rows
    match rng.randrange(7):
        case 0:
            return table.drop_columns([name])
        case 1:
            return table.take(pa.array(rng.sample(range(n), n)))
        case 2:
            return table.slice(rng.randrange(n))
        case 3:
            return table.set_column(place, name, pa.array([None] * n, kind))
        case 4:
            return table.set_column(place, name, column.cast(pa.string()))
    if pa.types.is_dictionary(kind):
        words = [f"w{i}" for i in range(rng.choice((1, 3, 30_000)))]
        codes = np.array([rng.randrange(len(words)) for _ in range(n)], np.int32)
        return table.set_column(place, name, pa.DictionaryArray.from_arrays(codes, pa.array(words)))
    if pa.types.is_boolean(kind):
        return table.set_column(place, name, pa.array([rng.random() < 0.5 for _ in range(n)]))
    if pa.types.is_floating(kind):
        wild: Any = [rng.choice((0.0, -1.0, 1e38, float("nan"), float("inf"))) for _ in range(n)]
        return table.set_column(place, name, pa.array(wild, kind))
    dtype = np.dtype("int64" if pa.types.is_timestamp(kind) else kind.to_pandas_dtype())
    low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    values = column.combine_chunks().cast(pa.from_numpy_dtype(dtype), safe=False).to_numpy()
    hit = np.random.default_rng(rng.randrange(2**32)).random(n) < rng.choice((0.02, 1.0))
    new = np.where(hit, np.array(rng.choice((low, high, 0, 1, high // 2)), dtype), values)
    return table.set_column(place, name, pa.array(new).view(kind))


def test_shards_with_wild_values(saved: Path, run: Path) -> None:
    rng = rng_of("shards")
    names = [path.name for path in saved.glob("*.parquet")]
    tables = {name: pq.read_table(saved / name) for name in names}
    whole = {name: (saved / name).read_bytes() for name in names}

    def read(name: str) -> None:
        if rng.random() < 0.7:
            pq.write_table(spoilt_table(tables[name], rng), run / name)
        else:
            (run / name).write_bytes(spoilt(whole[name], rng))
        declare_sizes(run)
        try:
            opened(run)
        finally:
            (run / name).write_bytes(whole[name])

    came = survives("run shards", (rng.choice(names) for _ in range(count(100))), read)
    assert came["taken"]
    assert came["refused"]


def logins_of(run: Path) -> Path:
    return next(iter(sorted(run.glob("logins-*.parquet"))))


def refused(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        opened(folder)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def with_column(path: Path, name: str, values: pa.Array) -> None:
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.column_names.index(name), name, values), path)


def test_a_country_no_vocabulary_has_is_refused(run: Path) -> None:
    """It would be written to as an index by compiled code."""
    path = logins_of(run)
    n = pq.read_metadata(path).num_rows
    words = pa.array([f"w{i}" for i in range(30_000)])
    codes = pa.array(np.full(n, 29_999, np.int32))
    with_column(path, "country", pa.DictionaryArray.from_arrays(codes, words))
    declare_sizes(run)
    assert "column country has other words than the manifest" in refused(run)


def test_accounts_out_of_order_are_refused(run: Path) -> None:
    path = logins_of(run)
    table = pq.read_table(path)
    pq.write_table(table.take(pa.array(range(table.num_rows - 1, -1, -1))), path)
    declare_sizes(run)
    assert "do not lie by account and time" in refused(run)


def test_a_kind_of_attack_that_is_none_is_refused(run: Path) -> None:
    path = logins_of(run)
    n = pq.read_metadata(path).num_rows
    with_column(path, "attack", pa.array(np.full(n, 200, np.uint8)))
    declare_sizes(run)
    assert "column 'attack' holds values that it cannot" in refused(run)


def test_a_small_file_of_endless_rows_is_refused_before_it_is_unpacked(run: Path) -> None:
    path = logins_of(run)
    many = 20_000_000
    table = pa.table({"user_id": pa.array(np.zeros(many, np.int64))})
    pq.write_table(table, path, compression="zstd", use_dictionary=True)
    assert path.stat().st_size < 200_000
    declare_sizes(run)
    assert "more than can be" in refused(run)


def test_a_run_s_files_are_its_own_and_nothing_is_written_while_reading(run: Path) -> None:
    """`..`, absolute paths and other names are refused; links and pipes give nothing."""
    manifest = run / "manifest.json"
    content = json.loads(manifest.read_text("utf-8"))
    name = next(iter(content["files"]))
    for other in ("../outside.parquet", "/etc/passwd", "people-00000.parquet/../x", ""):
        files = {other if key == name else key: size for key, size in content["files"].items()}
        manifest.write_text(json.dumps({**content, "files": files}), "utf-8")
        assert "damaged" in refused(run)
    manifest.write_text(json.dumps(content), "utf-8")
    (run / name).unlink()
    (run / name).symlink_to("/etc/passwd")
    declare_sizes(run)
    refused(run)
    (run / name).unlink()
    os.mkfifo(run / name)
    assert "is missing" in refused(run)
    (run / name).unlink()
    (run / name).symlink_to("/dev/zero")
    assert "is missing" in refused(run)
    assert sorted(path.name for path in run.parent.iterdir()) == ["run"]


def test_a_manifest_that_is_a_pipe_is_not_waited_for(run: Path) -> None:
    (run / "manifest.json").unlink()
    os.mkfifo(run / "manifest.json")
    assert "not a run" in refused(run)


def test_overwriting_a_run_full_of_links_touches_nothing_they_lead_to(
    run: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "letter").write_text("dear", "utf-8")
    (run / "folder").symlink_to(kept)
    (run / "file").symlink_to(kept / "letter")
    lab.simulate("us-consumer", users=20, days=2, seed=1, out=run, overwrite=True)
    assert (kept / "letter").read_text("utf-8") == "dear"
    opened(run)
    link = tmp_path / "link"
    link.symlink_to(run)
    with (
        pytest.raises(InputError, match="will not be overwritten"),
        RunWriter(link, overwrite=True),
    ):
        pass
