import csv

import numpy as np
import pytest

from twofa_lab.errors import InputError
from twofa_lab.tables import ATTACKS
from twofa_lab.traffic.readers import blocks, read_logs
from twofa_lab.traffic.readers.rba import RBA_COLUMNS
from twofa_lab.traffic.readers.values import hash_texts

ROW = {
    "Login Timestamp": "2020-02-03 12:43:30.772",
    "User ID": "-4324475583306591935",
    "Round-Trip Time [ms]": "",
    "IP Address": "10.0.65.171",
    "Country": "NO",
    "Region": "-",
    "City": "-",
    "ASN": "29695",
    "User Agent String": "Mozilla/5.0 (iPhone), like Gecko",
    "Browser Name and Version": "Firefox 20.0.0.1618",
    "OS Name and Version": "iOS 13.4",
    "Device Type": "mobile",
    "Login Successful": "False",
    "Is Attack IP": "False",
    "Is Account Takeover": "False",
}


def write(path, *rows, header=None, newline="\n"):
    """A file of these rows, each given by what differs from `ROW`."""
    header = header or ["index", *ROW]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, header, lineterminator=newline, extrasaction="ignore")
        writer.writeheader()
        writer.writerows({"index": place, **ROW, **row} for place, row in enumerate(rows))
    return path


@pytest.fixture
def read(tmp_path, check):
    def read_rows(*rows, **how):
        return check(read_logs(write(tmp_path / "rba.csv", *rows, **how)))

    return read_rows


def text(log, column, place):
    code = log.columns[column][place]
    return log.vocabularies[column][code] if code >= 0 else None


def test_every_column_of_a_row(read):
    log = read(
        {
            "Round-Trip Time [ms]": "626.4",
            "Login Successful": "True",
            "Is Attack IP": "True",
            "Is Account Takeover": "True",
            "Region": "Oslo County",
        }
    )
    assert {name: column[0].item() for name, column in log.columns.items()} == {
        "login_id": 0,
        "user_id": -4324475583306591935,
        "time": 1_580_733_810_772,
        "utc_offset_min": 60,
        "ip": (10 << 24) + (65 << 8) + 171,
        "ip_listed": True,
        "asn": 29695,
        "country": 0,
        "region": 0,
        "city": -1,
        "user_agent": 0,
        "browser": 0,
        "os": 0,
        "device_type": 0,
        "device_id": hash_texts((ROW["User Agent String"],))[0].item(),
        "rtt_ms": 626,
        "password_ok": True,
        "password_reset": False,
        "signup": False,
        "attack": ATTACKS.index("reported"),
        "campaign": -1,
    }
    assert log.user_names is None
    assert log.vocabularies["user_agent"] == (ROW["User Agent String"],)


def test_logins_lie_by_account_then_time_then_place(read):
    log = read(
        {"User ID": "7", "Login Timestamp": "2020-02-03 12:00:02.000"},
        {"User ID": "-7", "Login Timestamp": "2020-02-03 12:00:01.000"},
        {"User ID": "7", "Login Timestamp": "2020-02-03 12:00:00.000"},
        {"User ID": "-7", "Login Timestamp": "2020-02-03 12:00:01.000", "City": "Oslo"},
    )
    assert log.row_index.tolist() == [1, 3, 2, 0]
    assert log.columns["user_id"].tolist() == [-7, -7, 7, 7]
    assert log.columns["utc_offset_min"].tolist() == [60] * 4
    assert "3 rows out of time order, sorted" in log.reading.notes


def test_missing_values(read):
    blank = dict.fromkeys(ROW, "-")
    required = ("Login Timestamp", "User ID", "Login Successful")
    for missing in (blank, dict.fromkeys(ROW, "")):
        log = read({**missing, **{name: ROW[name] for name in required}})
        zero = ("ip", "asn", "rtt_ms", "device_id", "attack", "utc_offset_min")
        assert [log.columns[name][0] for name in zero] == [0] * len(zero)
        assert not log.columns["ip_listed"][0]
        assert all(log.columns[name][0] == -1 for name in log.vocabularies)
        assert any("without a known home country" in note for note in log.reading.notes)


def test_rows_that_cannot_be_used_are_counted_with_their_reason(read):
    bad = {
        "User ID": "somebody",
        "Login Timestamp": "2020-02-30 12:00:00.000",
        "Round-Trip Time [ms]": "-3",
        "IP Address": "10.0.65",
        "ASN": "4294967296",
        "Login Successful": "perhaps",
        "Is Attack IP": "7",
        "Is Account Takeover": "arson",
    }
    log = read({}, *({name: value} for name, value in bad.items()), {"User ID": ""}, {"ASN": "1"})
    assert log.reading.rows_read == 11
    assert log.reading.rows_rejected == 9
    found = {r.reason.split(":")[0]: (r.rows, r.examples) for r in log.reading.rejected}
    expected = {name: (1, (place + 3,)) for place, name in enumerate(bad)}
    assert found == {**expected, "User ID": (2, (3, 11))}
    assert log.row_index.tolist() == [0, 10]
    for rejection in log.reading.rejected:
        assert rejection.reason in str(log.reading)
        assert rejection.reason in log._repr_html_()


def test_a_row_is_counted_once_however_much_is_wrong_with_it(read):
    log = read({}, {"User ID": "x", "ASN": "x", "IP Address": "x"})
    assert log.reading.rows_rejected == 1
    assert len(log.reading.rejected) == 1


def test_duplicates_differ_in_their_index_alone(read):
    log = read({}, {}, {"ASN": "2"}, {}, {"Round-Trip Time [ms]": "12"})
    assert log.row_index.tolist() == [0, 2, 4]
    (rejection,) = log.reading.rejected
    assert rejection == ("duplicate of an earlier row", 2, (3, 5))


def test_ids_rounded_by_a_spreadsheet_are_taken_and_counted(read):
    log = read(
        {"User ID": "-4.32E+18"},
        {"User ID": "-4.32E+18", "ASN": "1"},
        {"User ID": "2.21e+18"},
        {"User ID": "17"},
        {"User ID": "9.99e+18"},
    )
    assert log.columns["user_id"].tolist() == [-(432 * 10**16)] * 2 + [17, 221 * 10**16]
    assert (log.reading.untrusted_ids, log.reading.untrusted_rows) == (2, 3)
    assert log.reading.rows_rejected == 1
    assert "not to be trusted" in str(log.reading)


def test_round_trip_times_are_cut_and_never_become_unmeasured(read):
    log = read({"Round-Trip Time [ms]": "223457"}, {"Round-Trip Time [ms]": "0.2"})
    assert log.columns["rtt_ms"].tolist() == [65_534, 1]
    assert "1 row with a round-trip time over 65,534 ms, cut to that" in log.reading.notes


def test_the_home_clock_is_that_of_the_successful_logins(read):
    log = read(
        *({"Country": "US", "IP Address": f"1.1.1.{n}"} for n in range(3)),
        {"Country": "IN", "Login Successful": "True"},
        {"Country": "US", "User ID": "5", "Login Timestamp": "2020-07-01 00:00:00.000"},
    )
    assert log.columns["utc_offset_min"].tolist() == [330] * 4 + [-240]


def test_rows_of_another_length_are_counted_where_they_are(tmp_path, check):
    path = write(tmp_path / "rba.csv", *({"ASN": str(n)} for n in range(6)))
    lines = path.read_text().splitlines()
    lines[2] += ",surplus"
    lines[5] = "too,short"
    lines.insert(4, "")  # a blank line is no row
    path.write_text("\n".join(lines) + "\n")
    log = check(read_logs(path))
    assert log.row_index.tolist() == [0, 2, 3, 5]
    assert log.columns["asn"].tolist() == [0, 2, 3, 5]
    reasons = {r.reason: r.examples for r in log.reading.rejected}
    assert reasons == {"17 fields instead of 16": (3,), "2 fields instead of 16": (6,)}


def test_a_file_cut_short_loses_its_last_row_and_says_so(tmp_path, check):
    path = write(tmp_path / "rba.csv", *({"ASN": str(n)} for n in range(3)))
    whole = path.read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    for cut in range(last + 1, len(whole) - 1):
        path.write_bytes(whole[:cut])
        log = check(read_logs(path))
        assert log.reading.rows_read == 3
        assert len(log) + log.reading.rows_rejected == 3
        assert any("cut short" in note for note in log.reading.notes), cut
    assert log.reading.rejected == (
        ("Is Account Takeover: neither true, false nor one of " + ", ".join(ATTACKS), 1, (4,)),
    )


def test_quotes_line_ends_and_byte_order_marks(tmp_path, check):
    agent = 'He said "Gecko",\nthen left'
    path = write(tmp_path / "rba.csv", {"User Agent String": agent}, {"ASN": "1"}, newline="\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    log = check(read_logs(path))
    assert text(log, "user_agent", 0) == agent
    assert log.row_index.tolist() == [0, 1]


def test_blocks_do_not_show(tmp_path, check, monkeypatch):
    rows = [
        {"User ID": str(n % 7), "ASN": str(n) if n % 11 else "?", "City": f"Værøy {n % 5}"}
        for n in range(200)
    ]
    path = write(tmp_path / "rba.csv", *rows)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    lines[50] = "short\n"
    path.write_text("".join(lines), encoding="utf-8")
    whole = check(read_logs(path))
    monkeypatch.setattr(blocks, "_BLOCK_BYTES", 1009)
    parts = check(read_logs(path))
    assert whole.reading == parts.reading
    assert whole.vocabularies == parts.vocabularies
    assert np.array_equal(whole.row_index, parts.row_index)
    for name, column in whole.columns.items():
        assert np.array_equal(column, parts.columns[name]), name
    assert whole.reading.rows_rejected == 200 // 11 + 1 + 1


def test_columns_of_another_order_and_further_ones(read):
    log = read({}, header=["Note", *reversed(RBA_COLUMNS.values())])
    assert len(log) == 1
    assert "columns not used: Note" in log.reading.notes


def test_a_missing_column_is_named(tmp_path):
    header = [name for name in ROW if name not in {"ASN", "City"}]
    with pytest.raises(InputError, match=r"lacks 'City', 'ASN'; for another CSV use .*generic"):
        read_logs(write(tmp_path / "rba.csv", {}, header=header))


def test_the_made_up_sample(samples, check):
    log = check(read_logs(samples / "rba.csv"))
    assert (len(log), log.reading.rows_rejected) == (213, 0)
    assert log.reading.users == 31
    assert (log.columns["attack"] == ATTACKS.index("reported")).sum() == 2
    assert (log.columns["user_id"] == -4324475583306591935).sum() == 24


def test_the_data_sets_first_rows(real_data, check):
    log = check(read_logs(real_data / "rba-head" / "rba-head-18.csv"))
    assert len(log) == 19  # indices 0 to 18
    assert log.reading.untrusted_ids == 0
    order = np.argsort(log.row_index)
    assert log.columns["user_id"][order][0] == -4324475583306591935
    assert log.columns["time"][order][0] == 1_580_733_810_772


def test_the_data_sets_damaged_sample(real_data, check):
    path = real_data / "rba-sample" / "rba-sample-2000.csv"
    log = check(read_logs(path))
    assert (log.reading.rows_read, log.reading.rows_rejected) == (2000, 0)
    assert (log.reading.untrusted_ids, log.reading.untrusted_rows) == (839, 2000)
    order = np.argsort(log.row_index)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for name in ("country", "region", "city", "user_agent", "browser", "os", "device_type"):
        words = [*log.vocabularies[name], "-"]
        assert [words[code] for code in log.columns[name][order]] == [
            row[RBA_COLUMNS[name]] or "-" for row in rows
        ]
    assert log.columns["asn"][order].tolist() == [int(row["ASN"]) for row in rows]
    assert log.columns["password_ok"].sum() == 1054
    assert log.columns["ip_listed"].sum() == 167
    assert (log.columns["rtt_ms"] > 0).sum() == 81
    assert len(np.unique(log.columns["ip"])) == 1413
