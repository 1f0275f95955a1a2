"""Files that somebody else wrote: policies, scenarios, logs, audits, MaxMind databases; spoilt."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tests.fuzz.mutations import count, rng_of, spoilt, spoilt_many, spoilt_value, survives
from tests.traffic.test_addresses import COUNTRIES, NETWORKS, write_mmdb
from twofa_lab.analysis.monitoring_audit import tally_audit
from twofa_lab.errors import InputError
from twofa_lab.risk.policy import Policy
from twofa_lab.traffic.addresses import mmdb_addresses
from twofa_lab.traffic.readers import read_columns
from twofa_lab.traffic.scenario import Scenario, scenario_names

ROOT = Path(__file__).resolve().parents[2]
LOGS = ROOT / "data" / "logs"
FIRST = 1_767_603_600_000
SHOP = {"user_id": "account", "time": "ts", "password_ok": "ok", "attack": "label"}


def written(path: Path, contents: Iterable[bytes]) -> Iterator[Path]:
    """One file again and again with other contents."""
    for content in contents:
        path.write_bytes(content)
        yield path


def yaml_files(values: list[Any], rng: random.Random, plain: int) -> Iterator[bytes]:
    """YAML spoilt as values and as text."""
    samples = [yaml.safe_dump(value).encode() for value in values]
    yield from samples
    for _ in range(count(plain) // 2):
        content = spoilt_value(rng.choice(values), rng)
        yield yaml.safe_dump(content, allow_unicode=True).encode("utf-8", "replace")
        yield spoilt(rng.choice(samples), rng, samples)


def untouched(folder: Path, known: set[str]) -> None:
    """Nothing was written into the folder beside the files that are known."""
    assert {item.name for item in folder.iterdir()} <= known


def test_policy_files(tmp_path: Path) -> None:
    values = [
        Policy.risk_based().model_dump(mode="json"),
        {"name": "mine", "challenge_at": 0.4, "fallback": {"channels": ["sms"]}},
        {"name": "learned", "scorer": "learned", "model": "m.skops"},
    ]
    path = tmp_path / "policy.yaml"
    inputs = written(path, yaml_files(values, rng_of("policies"), 1_200))
    survives("policy files", inputs, lambda found: Policy.named(str(found)))
    path.write_bytes(b"name: x # " + b"x" * 1_000_001)
    with pytest.raises(InputError, match="larger than 1,000,000 bytes"):
        Policy.named(str(path))
    untouched(tmp_path, {"policy.yaml"})


def test_scenario_files(tmp_path: Path) -> None:
    values = [Scenario.load(name).model_dump(mode="json") for name in scenario_names()]
    path = tmp_path / "scenario.yaml"
    inputs = written(path, yaml_files(values, rng_of("scenarios"), 60))
    survives("scenario files", inputs, Scenario.load)
    path.write_bytes(b"name: x # " + b"x" * 1_000_001)
    with pytest.raises(InputError, match="larger than 1,000,000 bytes"):
        Scenario.load(path)


def lines(name: str, many: int) -> bytes:
    return b"".join((LOGS / name).read_bytes().splitlines(keepends=True)[:many])


@pytest.mark.parametrize(
    ("name", "kind", "columns", "plain"),
    [
        ("rba.csv", "rba", None, 150),
        ("auth.log", "openssh", None, 150),
        ("shop.csv", "generic", SHOP, 150),
    ],
)
def test_logs(
    tmp_path: Path, name: str, kind: str, columns: dict[str, str] | None, plain: int
) -> None:
    samples = [lines(name, 30), lines(name, 3)]
    inputs = written(tmp_path / name, spoilt_many(samples, count(plain), rng_of(name)))

    def read(path: Path) -> None:
        log = read_columns(path, kind, columns=columns, progress=False)
        assert log.reading.rows_read == log.reading.rows_rejected + len(set(log.row_index.tolist()))

    survives(f"{kind} logs", inputs, read)
    untouched(tmp_path, {name})


def parquet_of(table: pa.Table, path: Path) -> bytes:
    pq.write_table(table, path)
    return path.read_bytes()


def spoilt_parquet(table: pa.Table, path: Path, rng: random.Random) -> bytes:
    """A Parquet file spoilt as a table (columns of other types, gone, nested) or as bytes."""
    if rng.random() < 0.5:
        return spoilt(parquet_of(table, path), rng)
    if rng.random() < 0.1:
        return parquet_of(table.slice(0, 0), path)
    name = rng.choice(table.column_names)
    if rng.random() < 0.2:
        return parquet_of(table.drop_columns([name]), path)
    values = table.column(name).to_pylist()
    wild = (-1, 0, 2**63 - 1, -(2**63))
    others: list[Callable[[], pa.Array]] = [
        lambda: pa.nulls(len(values)),
        lambda: pa.array([None if i % 3 else value for i, value in enumerate(values)]),
        lambda: pa.array([[str(value)] for value in values]),
        lambda: pa.array([{"a": str(value)} for value in values]),
        lambda: pa.array([str(value).encode() for value in values]),
        lambda: pa.array([rng.choice((1.5, float("nan"), 1e300)) for _ in values]),
        lambda: pa.array([rng.choice(wild) for _ in values]),
        lambda: pa.array([str(value) for value in values]).dictionary_encode(),
    ]
    place = table.column_names.index(name)
    return parquet_of(table.set_column(place, name, rng.choice(others)()), path)


def test_logs_in_parquet(tmp_path: Path) -> None:
    import pyarrow.csv as pacsv

    table, rng = pacsv.read_csv(LOGS / "shop.csv").slice(0, 40), rng_of("parquet logs")
    made = tmp_path / "made.parquet"
    contents = (spoilt_parquet(table, made, rng) for _ in range(count(100)))
    survives(
        "parquet logs",
        written(tmp_path / "log.parquet", contents),
        lambda path: read_columns(path, "generic", columns=SHOP, progress=False),
    )
    untouched(tmp_path, {"made.parquet", "log.parquet"})


def test_exported_audits(tmp_path: Path) -> None:
    rng = rng_of("audits")
    details = [
        '{"country": "GB", "decision": "challenge"}',
        '{"challenge": "c1", "factor": "otp", "purpose": "login"}',
        '{"challenge": "c1", "channel": "sms", "provider": "vonage", "price": 8300}',
        '{"challenge": "c1", "outcome": "verified"}',
    ]
    events = ["login", "challenge", "sent", "outcome"]
    rows = 6
    table = pa.table(
        {
            "seq": pa.array(range(1, 4 * rows + 1), pa.int64()),
            "at": pa.array(range(FIRST, FIRST + 4 * rows), pa.timestamp("ms", "UTC")),
            "user_id": pa.array([i // 4 for i in range(4 * rows)], pa.int64()),
            "event": events * rows,
            "detail": details * rows,
            "hash": pa.array([bytes(32)] * 4 * rows, pa.binary()),
        }
    )  # fmt: skip

    def contents() -> Iterator[bytes]:
        made = tmp_path / "made.parquet"
        for _ in range(count(100)):
            told = [spoilt(text.encode(), rng).decode("utf-8", "replace") for text in details]
            one = table
            if rng.random() < 0.5:
                one = table.set_column(4, "detail", pa.array(told * rows))
            yield spoilt_parquet(one, made, rng) if rng.random() < 0.6 else parquet_of(one, made)

    survives("exported audits", written(tmp_path / "audit.parquet", contents()), tally_audit)


def test_maxmind_databases(tmp_path: Path) -> None:
    samples = [
        write_mmdb(tmp_path / "c.mmdb", "Test-Country", COUNTRIES).read_bytes(),
        write_mmdb(tmp_path / "a.mmdb", "Test-ASN", NETWORKS).read_bytes(),
    ]
    contents = spoilt_many(samples, count(800), rng_of("mmdb"))
    survives("mmdb files", written(tmp_path / "x.mmdb", contents), mmdb_addresses)


def test_a_maxmind_tree_that_shares_its_branches_is_refused(tmp_path: Path) -> None:
    """Every node's two children are one next node: a few nodes, 2^100 networks to walk."""
    path = write_mmdb(tmp_path / "c.mmdb", "Test-Country", COUNTRIES)
    whole = path.read_bytes()
    nodes = whole.index(bytes(16) + b"\xe1")  # the tree ends where the separator begins
    many = nodes // 6
    tree = b"".join(struct.pack(">I", min(i + 1, many))[1:] * 2 for i in range(many))
    assert len(tree) == nodes
    survives("mmdb bombs", written(path, [tree + whole[nodes:]]), mmdb_addresses)
    with pytest.raises(InputError, match="not a whole MaxMind DB file"):
        mmdb_addresses(path)
