import csv
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twofa_lab.errors import InputError
from twofa_lab.tables import ATTACKS
from twofa_lab.traffic.addresses import AddressTable, parse_ips
from twofa_lab.traffic.readers import read_logs
from twofa_lab.traffic.readers.values import hash_texts

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NO_TABLE = AddressTable(
    start=np.array([], np.uint64),
    end=np.array([], np.uint64),
    country=np.array([], np.int16),
    asn=np.array([], np.uint32),
    countries=(),
    names={},
    source="no addresses",
)
NORWAY = AddressTable(
    start=np.array([0x01020300], np.uint64),
    end=np.array([0x010203FF], np.uint64),
    country=np.array([0], np.int16),
    asn=np.array([64500], np.uint32),
    countries=("NO",),
    names={64500: "Example"},
    source="made up",
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "user_id": st.text(
                st.characters(codec="utf-8", exclude_characters="\0\r\x1a"), min_size=1, max_size=5
            ),
            "time": st.integers(200_000_000_000, 4_000_000_000_000),
            "password_ok": st.booleans(),
            "ip": st.one_of(st.just(""), st.ip_addresses(v=4).map(str)),
            "city": st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=5),
            "rtt_ms": st.integers(0, 65_534),
            "attack": st.sampled_from(ATTACKS),
        }
    ),
    min_size=1,
    max_size=12,
)


def write(path, rows, header=None):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, header or list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def read(path, **options):
    return read_logs(path, "generic", **{"addresses": NO_TABLE, "progress": False, **options})


@given(ROWS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read(tmp_path, check, rows):
    log = check(read(write(tmp_path / "log.csv", rows)))
    distinct = []
    for place, row in enumerate(rows):
        key = {**row, "city": "" if row["city"] == "-" else row["city"]}
        if key not in [other for _, other in distinct]:
            distinct.append((place, key))
    names = log.user_names
    users = log.columns["user_id"].tolist()
    got = [
        {
            "user_id": str(user) if names is None else names[user],
            "time": log.columns["time"][i],
            "password_ok": log.columns["password_ok"][i],
            "ip": log.columns["ip"][i],
            "city": [*log.vocabularies["city"], ""][log.columns["city"][i]],
            "rtt_ms": log.columns["rtt_ms"][i],
            "attack": ATTACKS[log.columns["attack"][i]],
        }
        for i, user in enumerate(users)
    ]
    expected = {place: {**row, "ip": parse_ips([row["ip"]])[0][0]} for place, row in distinct}
    assert dict(zip(log.row_index.tolist(), got, strict=True)) == expected
    assert log.reading.rows_rejected == len(rows) - len(distinct)


VALID = b"user_id,time,password_ok,ip,city\n" + b"".join(
    b'u%d,2026-03-%02dT10:00,yes,1.2.3.%d,"Oslo, %d"\n' % (n % 3, n + 1, n, n) for n in range(9)
)


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_damage_gets_past(tmp_path, check, data):
    """A damaged file is refused in one line or read with every row accounted for."""
    path = tmp_path / "log.csv"
    damaged = bytearray(VALID)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(damaged)))
        end = data.draw(st.integers(at, min(at + 40, len(damaged))))
        noise = st.one_of(
            st.binary(max_size=4), st.sampled_from([b'"', b"\n", b",", b"\r", b'""', b"\xff\xfe"])
        )
        damaged[at:end] = data.draw(noise)
    path.write_bytes(damaged)
    try:
        log = read(path)
    except InputError as error:
        message = str(error)
    else:
        check(log)
        return
    assert "\n" not in message
    assert str(path) in message


def test_a_mapping_of_columns(tmp_path, check):
    path = write(
        tmp_path / "log.csv",
        [
            {"who": "ann", "ts": "2026-03-01T10:00+01:00", "ok": "yes", "dev": "d1", "x": "1"},
            {"who": "ann", "ts": "2026-03-01T10:00+01:00", "ok": "yes", "dev": "d1", "x": "2"},
            {"who": "bob", "ts": "2026-03-01T09:00Z", "ok": "no", "dev": "", "x": "1"},
        ],
    )
    columns = {"user_id": "who", "time": "ts", "password_ok": "ok", "device_id": "dev"}
    log = check(read(path, columns=columns))
    assert log.user_names == ("ann", "bob")
    assert log.columns["time"].tolist() == [1_772_355_600_000] * 3
    assert log.columns["device_id"].tolist() == [*hash_texts(("d1", "d1")).tolist(), 0]
    assert log.reading.rows_rejected == 0  # x tells the first two rows apart
    assert "columns not used: x" in log.reading.notes
    log = check(
        read(
            write(path, [{"who": "a", "ts": "1772359200", "ok": "1", "x": ""}] * 2),
            columns={key: columns[key] for key in ("user_id", "time", "password_ok")},
        )
    )
    assert log.reading.rejected == (("duplicate of an earlier row", 1, (3,)),)


def base(**more):
    return {"user_id": "1", "time": "2026-03-01T10:00Z", "password_ok": "yes", **more}


def test_plain_integer_ids_stay(tmp_path, check):
    rows = [base(user_id=user) for user in ("9223372036854775807", "-5", "0")]
    log = check(read(write(tmp_path / "log.csv", rows)))
    assert log.user_names is None
    assert log.columns["user_id"].tolist() == [-5, 0, 2**63 - 1]
    for odd in ("007", "9223372036854775808", "4.32e+18", "x", "-0", "1 "):
        log = check(read(write(tmp_path / "log.csv", [*rows, base(user_id=odd)])))
        assert log.user_names == ("9223372036854775807", "-5", "0", odd)
        assert log.reading.untrusted_ids == (odd == "4.32e+18")


def test_names_of_rejected_rows_do_not_count(tmp_path, check):
    rows = [base(), {**base(user_id="seven"), "password_ok": "?"}]
    log = check(read(write(tmp_path / "log.csv", rows)))
    assert log.user_names is None
    assert log.columns["user_id"].tolist() == [1]


def test_places_are_looked_up_where_missing(tmp_path, check):
    rows = [
        base(ip="1.2.3.4", country="", asn=""),
        base(ip="1.2.3.5", country="SE", asn=""),
        base(ip="1.2.3.6", country="-", asn="AS7"),
        base(ip="9.9.9.9", country="", asn=""),
        base(ip="", country="", asn=""),
    ]
    log = check(read(write(tmp_path / "log.csv", rows), addresses=NORWAY))
    words = [*log.vocabularies["country"], None]
    assert [words[c] for c in log.columns["country"]] == ["NO", "SE", "NO", None, None]
    assert log.columns["asn"].tolist() == [64500, 64500, 7, 0, 0]
    assert "country and network looked up by address: made up" in log.reading.notes
    bare = [{key: row[key] for key in (*base(), "ip")} for row in rows]
    log = check(read(write(tmp_path / "log.csv", bare), addresses=NORWAY))
    assert log.columns["asn"].tolist() == [64500, 64500, 64500, 0, 0]
    full = [base(ip="1.2.3.4", country="SE", asn="7")]
    log = check(read(write(tmp_path / "log.csv", full), addresses=NORWAY))
    assert not any("looked up" in note for note in log.reading.notes)


def test_without_addresses_nothing_is_looked_up(tmp_path, check):
    log = check(read(write(tmp_path / "log.csv", [base()]), addresses=NORWAY))
    assert log.columns["ip"].tolist() == [0]
    assert log.columns["country"].tolist() == [-1]


def test_parquet_keeps_its_types(tmp_path, check):
    moment = datetime(2026, 3, 1, 10, tzinfo=UTC)
    table = pa.table(
        {
            "user_id": pa.array([3, 3, None, 5]),
            "time": pa.array([moment + timedelta(hours=h) for h in (2, 0, 0, 1)]),
            "password_ok": pa.array([True, False, True, None]),
            "asn": pa.array([7.0, None, 7.0, 7.0]),
            "rtt_ms": pa.array([1.5, None, 2.0, 3.0]),
            "city": pa.array(["Oslo", None, "Oslo", "Oslo"]).dictionary_encode(),
            "os": pa.array(["iOS", "", "iOS", "-"], pa.large_string()),
            "tags": pa.array([["a"], [], None, ["b"]]),
            "extra": pa.array(["a", None, "b", "c"]).dictionary_encode(),
        }
    )
    path = tmp_path / "log.parquet"
    pq.write_table(table, path)
    log = check(read(path))
    assert log.user_names is None
    assert log.row_index.tolist() == [1, 0]
    assert log.columns["user_id"].tolist() == [3, 3]
    assert log.columns["time"].tolist() == [
        (moment + timedelta(hours=h) - EPOCH) // timedelta(milliseconds=1) for h in (0, 2)
    ]
    assert log.columns["asn"].tolist() == [0, 7]
    assert log.columns["rtt_ms"].tolist() == [0, 2]
    assert log.columns["city"].tolist() == [-1, 0]
    assert log.columns["os"].tolist() == [-1, 0]
    assert {r.reason: r.examples for r in log.reading.rejected} == {
        "user_id: not an id": (3,),
        "password_ok: neither true nor false": (4,),
    }


def test_parquet_and_csv_agree(tmp_path, check, samples):
    columns = {"user_id": "account", "time": "ts", "password_ok": "ok", "rtt_ms": "latency_ms"}
    one = check(read(samples / "shop.csv", columns=columns))
    with (samples / "shop.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "shop.parquet", row_group_size=50)
    two = check(read(tmp_path / "shop.parquet", columns=columns))
    assert one.vocabularies == two.vocabularies
    assert one.user_names == two.user_names
    for name, column in one.columns.items():
        assert np.array_equal(column, two.columns[name]), name
    assert [r.rows for r in one.reading.rejected] == [r.rows for r in two.reading.rejected]


def test_the_made_up_sample(samples, check):
    columns = {
        "user_id": "account",
        "time": "ts",
        "password_ok": "ok",
        "user_agent": "agent",
        "device_id": "device",
        "rtt_ms": "latency_ms",
        "attack": "label",
    }
    log = check(read_logs(samples / "shop.csv", "generic", columns=columns))
    assert (log.reading.rows_read, log.reading.rows_rejected, log.reading.users) == (120, 2, 20)
    assert (log.columns["attack"] == ATTACKS.index("password_spray")).sum() == 20
    assert (log.columns["country"] >= 0).all()


def test_mixed_times_are_refused(tmp_path):
    rows = [base(), base(time="2026-03-01 10:00")]
    with pytest.raises(InputError, match="mixes times: row 3 is without an offset to UTC, row 2"):
        read(write(tmp_path / "log.csv", rows))
    with pytest.raises(InputError, match="row 2 with an offset"):
        read(write(tmp_path / "log.csv", [base()] * 300 + rows))


def test_too_many_kinds_of_device(tmp_path):
    rows = [base(device_type=str(n)) for n in range(200)]
    with pytest.raises(InputError, match="device_type holds more than 128 distinct texts"):
        read(write(tmp_path / "log.csv", rows))


def test_a_column_of_lists_is_refused(tmp_path):
    table = pa.table({**{key: [value] for key, value in base().items()}, "city": [["a"]]})
    pq.write_table(table, tmp_path / "log.parquet")
    with pytest.raises(InputError, match="column 'city' is list"):
        read(tmp_path / "log.parquet")
