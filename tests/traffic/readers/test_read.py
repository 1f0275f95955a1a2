"""The call itself, and files that cannot be read at all."""

import json
import re
import subprocess
import sys

import pytest

from twofa_lab.errors import InputError
from twofa_lab.traffic import readers
from twofa_lab.traffic.readers import Reading, blocks, read_logs
from twofa_lab.traffic.readers.reading import Rejection, Tally, positions_without

HEADER = b"user_id,time,password_ok\n"
ROW = b"1,2026-03-01T10:00Z,yes\n"
PARQUET = b"PAR1 and then nothing of the kind"

BAD_FILES = {
    "empty": ("log.csv", "generic", b"", "the file is empty"),
    "empty rba": ("log.csv", "rba", b"", "the file is empty"),
    "empty sshd": ("log.csv", "openssh", b"", "the file is empty"),
    "header only": ("log.csv", "generic", HEADER, "a header and no rows"),
    "header without line end": ("log.csv", "generic", HEADER.strip(), "a header and no rows"),
    "blank lines": ("log.csv", "generic", b"\n\n", "no column for user_id, .* has none"),
    "columns missing": (
        "log.csv",
        "generic",
        b"who,time\n1,2\n",
        r"no column for user_id, password_ok; the file has 'who', 'time'; say which with columns=",
    ),
    "not rba": ("log.csv", "rba", HEADER + ROW, "not the RBA data set: the header lacks 'Login T"),
    "no column twice": ("log.csv", "generic", b"time,time\n", "the header names 'time' twice"),
    "zero bytes": ("log.csv", "generic", HEADER + b"\0\1\2", "line 2 holds a zero byte"),
    "binary": ("log.csv", "rba", bytes(range(1, 256)) * 9, "line 2 is not UTF-8 text"),
    "latin-1": ("log.csv", "generic", HEADER + ROW + b"J\xf8rn,,\n", "line 3 is not UTF-8 text"),
    "cut character": ("log.csv", "generic", HEADER + ROW + "ø".encode()[:1], "line 3 is not UTF-8"),
    "utf-16": ("log.csv", "generic", (HEADER + ROW).decode().encode("utf-16"), "zero byte"),
    "open quote": (
        "log.csv",
        "generic",
        HEADER + ROW + b'"' + bytes(9 << 20).replace(b"\0", b"\n"),
        "after row 2 is longer than 4 MiB: a quote in it is probably never closed",
    ),
    "no usable row": (
        "log.csv",
        "generic",
        HEADER + b"1,soon,yes\n" * 2,
        r"none of the 2 rows can be used: 2 rows, time: not a time .* \(row 2, 3\)",
    ),
    "only short rows": ("log.csv", "generic", HEADER + b"1\n", "1 fields instead of 3"),
    "no sign-in": ("auth.log", "openssh", b"hello\nworld\n", "no sshd sign-in in its 2 lines"),
    "binary sshd": ("auth.log", "openssh", bytes(range(256)), "no sshd sign-in"),
    "not parquet": ("log.parquet", "generic", PARQUET, "not a whole Parquet file"),
    "empty parquet": ("log.parquet", "generic", b"", "not a whole Parquet file"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_are_refused_in_one_line(tmp_path, name):
    file, form, content, message = BAD_FILES[name]
    path = tmp_path / file
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_logs(path, form, progress=False)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_status == 2


def test_a_file_that_is_not_there(tmp_path):
    for form in ("rba", "generic", "openssh"):
        with pytest.raises(InputError, match=r"cannot be opened: No such file"):
            read_logs(tmp_path / "none.csv", form)
    with pytest.raises(InputError, match="cannot be opened: no such file"):
        read_logs(tmp_path / "none.parquet", "generic")
    with pytest.raises(InputError, match="is a directory"):
        read_logs(tmp_path)


@pytest.mark.parametrize(
    ("form", "options", "message"),
    [
        ("syslog", {}, "unknown log format 'syslog': use one of rba, openssh, generic"),
        ("rba", {"columns": {}}, "a column mapping is for the generic format, not for 'rba'"),
        ("generic", {"year": 2026}, "a year is for the openssh format"),
        ("generic", {"columns": {"user": "a"}}, "unknown field 'user'; fields are user_id"),
        ("generic", {"columns": {"user_id": "a"}}, "no column 'a', mapped to user_id; the file"),
    ],
)
def test_bad_calls_are_refused(tmp_path, form, options, message):
    path = tmp_path / "log.csv"
    path.write_bytes(HEADER + ROW)
    with pytest.raises(InputError, match=re.escape(message)):
        read_logs(path, form, **options)


def test_an_odd_quote_is_noted(tmp_path, check):
    path = tmp_path / "log.csv"
    path.write_bytes(
        HEADER.strip() + b",city\n" + ROW.strip() + b',"Oslo\n2,2026-03-01T10:00Z,1,x\n'
    )
    log = check(read_logs(path, "generic"))
    assert log.reading.rows_read == 1  # the open quote has swallowed the second row
    assert any("odd number of quotes" in note for note in log.reading.notes)


def test_a_parquet_file_damaged_inside(tmp_path, check):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "log.parquet"
    times = [f"2026-03-01T10:{n // 60:02}:{n % 60:02}Z" for n in range(3600)]
    pq.write_table(
        pa.table({"user_id": range(3600), "time": times, "password_ok": [True] * 3600}), path
    )
    check(read_logs(path, "generic"))
    content = bytearray(path.read_bytes())
    content[100:2000] = b"\x55" * 1900
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"log\.parquet: damaged after row 0"):
        read_logs(path, "generic")


def test_progress_goes_to_standard_error_and_only_when_it_takes_long(tmp_path, capsys, monkeypatch):
    path = tmp_path / "log.csv"
    path.write_bytes(HEADER + ROW)
    read_logs(path, "generic")
    assert capsys.readouterr() == ("", "")
    eager = blocks.tqdm
    monkeypatch.setattr(blocks, "tqdm", lambda **how: eager(**{**how, "delay": 0}))
    read_logs(path, "generic", progress=False)
    assert capsys.readouterr() == ("", "")
    read_logs(path, "generic")
    out, err = capsys.readouterr()
    assert out == ""
    assert "reading log.csv" in err


def test_a_reading_renders_itself(tmp_path):
    path = tmp_path / "<log>.csv"
    path.write_bytes(HEADER + ROW * 2)
    reading = read_logs(path, "generic").reading
    assert isinstance(reading, Reading)
    assert "duplicate of an earlier row" in str(reading)
    assert "&lt;log&gt;.csv" in reading._repr_html_()
    plain = json.loads(json.dumps(reading.to_dict()))
    assert plain["rejected"] == [
        {"reason": "duplicate of an earlier row", "rows": 1, "examples": [3]}
    ]
    assert (plain["rows_read"], plain["rows_rejected"], plain["logins"], plain["users"]) == (
        2,
        1,
        1,
        1,
    )


def test_a_tally_keeps_the_first_examples():
    tally = Tally(first_row=2)
    tally.add("odd", [])
    tally.add("odd", [1, 2])
    tally.add("odd", [3, 4, 5])
    tally.add("even", [7])
    assert tally.total == 6
    assert tally.rejections() == (("odd", 5, (3, 4, 5)), ("even", 1, (9,)))
    assert str(Rejection("odd", 5, (3, 4, 5))) == "5 rows, odd (row 3, 4, 5, …)"


def test_positions_leave_out_skipped_rows():
    assert positions_without(0, 3, []).tolist() == [0, 1, 2]
    assert positions_without(0, 3, [0, 1, 3]).tolist() == [2, 4, 5]
    assert positions_without(4, 2, [9]).tolist() == [4, 5]
    assert positions_without(4, 0, [5]).tolist() == []


def test_the_readers_load_late():
    code = (
        "import sys, twofa_lab.traffic.readers as r; "
        "assert 'pyarrow' not in sys.modules; r.read_logs; assert 'pyarrow' in sys.modules"
    )
    subprocess.run(  # noqa: S603 - the code above
        [sys.executable, "-c", code], check=True, cwd=blocks.__file__.split("twofa_lab")[0]
    )
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        readers.nothing  # noqa: B018
