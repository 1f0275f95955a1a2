from datetime import UTC, datetime

import numpy as np
import pytest

from twofa_lab.errors import InputError
from twofa_lab.traffic.addresses import AddressTable, parse_ips
from twofa_lab.traffic.readers import read_logs
from twofa_lab.traffic.readers.values import hash_texts

NOW = datetime(2026, 6, 1, tzinfo=UTC)
MARCH_1 = int(datetime(2026, 3, 1, 10, tzinfo=UTC).timestamp() * 1000)
TABLE = AddressTable(
    start=np.array([0x01020300, 0x0A000000], np.uint64),
    end=np.array([0x010203FF, 0x0AFFFFFF], np.uint64),
    country=np.array([0, 1], np.int16),
    asn=np.array([64500, 64501], np.uint32),
    countries=("NO", "IN"),
    names={64500: "Example", 64501: "Other"},
    source="a table made up for the test",
)


@pytest.fixture
def read(tmp_path, check):
    """Read these messages of sshd, a second apart."""

    def read_messages(*messages, **options):
        path = tmp_path / "auth.log"
        path.write_text(
            "".join(
                f"Mar  1 10:00:{second:02} host sshd[{second}]: {message}\n"
                for second, message in enumerate(messages)
            ),
            encoding="utf-8",
        )
        return check(read_logs(path, "openssh", addresses=TABLE, now=NOW, **options))

    return read_messages


def accounts(log):
    return [log.user_names[user] for user in log.columns["user_id"]]


def test_accepted_and_failed_sign_ins(read):
    log = read(
        "Failed password for root from 1.2.3.4 port 50 ssh2",
        "Failed password for invalid user admin from 10.0.0.9 port 51 ssh2",
        "Failed password for invalid user  from 10.0.0.9 port 52 ssh2",
        "Accepted password for root from 1.2.3.4 port 53 ssh2",
        "Accepted keyboard-interactive/pam for root from 1.2.3.4 port 53 ssh2",
        "Failed keyboard-interactive/pam for root from 1.2.3.4 port 53 ssh2",
    )
    assert log.user_names == ("root", "admin", "")
    assert accounts(log) == ["root"] * 4 + ["admin", ""]
    assert log.columns["password_ok"].tolist() == [False, True, True, False, False, False]
    assert log.columns["time"].tolist() == [MARCH_1 + s * 1000 for s in (0, 3, 4, 5, 1, 2)]
    assert log.row_index.tolist() == [0, 3, 4, 5, 1, 2]
    assert log.columns["asn"].tolist() == [64500] * 4 + [64501] * 2
    country = [log.vocabularies["country"][code] for code in log.columns["country"]]
    assert country == ["NO"] * 4 + ["IN"] * 2
    assert log.columns["utc_offset_min"].tolist() == [60] * 4 + [330] * 2
    assert any("made up for the test" in note for note in log.reading.notes)


def test_other_lines_are_counted(read):
    log = read(
        "Accepted password for ann from 1.2.3.4 port 53 ssh2",
        "pam_unix(sshd:session): session opened for user ann",
        "Failed publickey for ann from 1.2.3.4 port 53 ssh2: RSA SHA256:abc",
        "Failed none for invalid user bob from 1.2.3.4 port 53 ssh2",
        "Invalid user bob from 1.2.3.4",
        "",
    )
    assert (log.reading.rows_read, log.reading.rows_other) == (1, 5)


def test_only_sshd_is_believed(tmp_path, check):
    path = tmp_path / "auth.log"
    told = "Failed password for root from 1.2.3.4 port 50 ssh2"
    path.write_text(
        f"Mar  1 10:00:00 host sudo: ann : COMMAND=/bin/echo sshd[1]: {told}\n"
        f"Mar  1 10:00:01 host sshd-session[2]: {told}\n"
        f"Mar  1 10:00:02 host sshd: {told}\n"
        "\n"
    )
    log = check(read_logs(path, "openssh", addresses=TABLE, now=NOW))
    assert (log.reading.rows_read, log.reading.rows_other) == (2, 2)


def test_a_repeated_line_is_as_many_attempts(read):
    failed = "Failed password for root from 1.2.3.4 port 50 ssh2"
    log = read(failed, f"message repeated 3 times: [ {failed}]", failed)
    assert log.row_index.tolist() == [0, 1, 1, 1, 2]
    assert np.diff(log.columns["time"]).tolist() == [1000, 0, 0, 1000]
    assert (log.reading.rows_read, log.reading.logins) == (3, 5)
    assert "1 line 'message repeated' for 3 attempts" in log.reading.notes


def test_equal_lines_are_no_duplicates(tmp_path, check):
    path = tmp_path / "auth.log"
    path.write_text(
        "Mar  1 10:00:00 host sshd[1]: Failed password for root from 1.2.3.4 port 5 ssh2\n" * 2
    )
    assert len(check(read_logs(path, "openssh", addresses=TABLE, now=NOW))) == 2


def test_a_user_name_cannot_forge_an_address(read):
    log = read(
        "Failed password for invalid user x from 10.0.0.1 port 1 ssh2 from 1.2.3.4 port 2 ssh2",
        "Failed password for invalid user ann lee] from 1.2.3.4 port 2 ssh2",
    )
    assert log.user_names == ("x from 10.0.0.1 port 1 ssh2", "ann lee]")
    assert log.columns["ip"].tolist() == parse_ips(["1.2.3.4"] * 2)[0].tolist()


def test_a_device_is_a_key_or_else_an_address(read):
    key = "RSA SHA256:Kl8kPGZrTiz7g4FO1hyqHdsSBBb5Fge6NWOobN03XJg"
    old = "RSA " + ":".join(["a1"] * 16)
    cert = "ED25519-CERT SHA256:abc ID ann (serial 1) CA ED25519 SHA256:def"
    log = read(
        f"Accepted publickey for ann from 1.2.3.4 port 1 ssh2: {key}",
        f"Accepted publickey for ann from 10.0.0.1 port 1 ssh2: {key}",
        f"Accepted publickey for ann from 10.0.0.1 port 1 ssh2: {old}",
        f"Accepted publickey for ann from 10.0.0.1 port 1 ssh2: {cert}",
        "Accepted password for ann from 10.0.0.1 port 1 ssh2",
        "Accepted password for ann from 2001:db8::7 port 1 ssh2",
    )
    names = (key[4:], key[4:], old[4:], "SHA256:abc", "address 10.0.0.1", "address 2001:db8::/64")
    assert log.columns["device_id"].tolist() == hash_texts(names).tolist()


def test_attempts_that_cannot_be_used_are_counted_by_line(tmp_path, check):
    path = tmp_path / "auth.log"
    good = "Failed password for root from 1.2.3.4 port 5 ssh2\n"
    path.write_text(
        f"Mar  1 10:00:00 host sshd[1]: {good}"
        "Mar  1 10:00:01 host sshd[1]: Failed password for root from gate.example port 5 ssh2\n"
        f"Mon  1 10:00:02 host sshd[1]: {good}"
        "something else\n"
        "Mar  1 10:00:03 host sshd[1]: Failed password for ro\n"
        "2026-03-01T99:00:00Z host sshd[1]: Failed password for root from 1.2.3.4 port 5 ssh2\n"
        f"Mar  1 10:00:04 host sshd[1]: message repeated 99999999 times: [ {good[:-1]}]\n"
    )
    log = check(read_logs(path, "openssh", addresses=TABLE, now=NOW))
    reading = log.reading
    assert (reading.rows_read, reading.rows_rejected, reading.rows_other) == (6, 5, 1)
    assert {r.reason: r.examples for r in reading.rejected} == {
        "a sign-in line cut short or of unknown form": (3, 5, 7),
        "not an IP address": (2,),
        "no time that exists": (6,),
    }


def test_years(tmp_path, check):
    path = tmp_path / "auth.log"
    told = "host sshd[1]: Failed password for root from 1.2.3.4 port 5 ssh2\n"
    path.write_text(f"Dec 31 23:59:59 {told}Jan  1 00:00:01 {told}")
    log = check(read_logs(path, "openssh", addresses=TABLE, now=NOW))
    assert [np.datetime64(int(t), "ms").item().year for t in log.columns["time"]] == [2025, 2026]
    assert any(note.startswith("year assumed 2025") for note in log.reading.notes)
    assert any("dates go back 1 time within" in note for note in log.reading.notes)
    log = check(read_logs(path, "openssh", addresses=TABLE, year=2010))
    assert [np.datetime64(int(t), "ms").item().year for t in log.columns["time"]] == [2010, 2011]
    path.write_text(f"2026-03-01T11:00:00.5+01:00 {told}")
    log = check(read_logs(path, "openssh", addresses=TABLE))
    assert log.columns["time"].tolist() == [MARCH_1 + 500]
    assert not any("year" in note or "zone" in note for note in log.reading.notes)


def test_a_day_the_given_year_lacks(tmp_path):
    path = tmp_path / "auth.log"
    path.write_text(
        "Feb 29 00:00:00 host sshd[1]: Failed password for root from 1.2.3.4 port 5 ssh2\n"
    )
    with pytest.raises(InputError, match=r"none of the 1 rows .* no time that exists \(row 1\)"):
        read_logs(path, "openssh", year=2025)


def test_damaged_bytes_do_not_stop_the_reading(tmp_path, check):
    path = tmp_path / "auth.log"
    path.write_bytes(
        b"\0\0\0\xff\xfe\n"
        b"Mar  1 10:00:00 host sshd[1]: Failed password for \xff from 1.2.3.4 port 5 ssh2\n"
    )
    log = check(read_logs(path, "openssh", addresses=TABLE, now=NOW))
    assert log.user_names == ("\\xff",)
    assert "2 lines with bytes that are not UTF-8 text" in log.reading.notes


def test_the_made_up_sample(samples, check):
    log = check(read_logs(samples / "auth.log", "openssh", now=NOW))
    assert (log.reading.rows_read, log.reading.rows_other, len(log)) == (54, 42, 68)
    assert {"deploy", "mari", "ola", "root", ""} <= set(log.user_names)
    assert (log.columns["country"] >= 0).all()
    assert (log.columns["asn"] >= 4_200_000_000).all()


def test_a_real_hosts_log(real_data, check):
    log = check(read_logs(real_data / "openssh" / "auth.log", "openssh", now=NOW))
    reading = log.reading
    assert (reading.rows_read, reading.rows_rejected) == (226 + 713, 0)
    assert reading.rows_read + reading.rows_other == 7121
    first = np.unique(log.row_index, return_index=True)[1]
    assert log.columns["password_ok"][first].sum() == 226
    assert (~log.columns["password_ok"][first]).sum() == 713
    assert (log.columns["country"] >= 0).mean() > 0.95
