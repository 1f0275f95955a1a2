from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofa_lab.errors import InputError
from twofa_lab.traffic.readers.times import (
    EPOCH_MS,
    EPOCH_S,
    NAIVE,
    OFFSET,
    TimeKinds,
    read_times,
)

MOMENTS = st.datetimes(datetime(1975, 1, 1), datetime(2199, 12, 31)).map(  # noqa: DTZ001
    lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000)
)
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m)))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def ms(moment: datetime) -> int:
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - EPOCH) // timedelta(milliseconds=1)


def damaged(texts: list[str]) -> pa.Array:
    """The texts with damage among them, so that they are read one by one."""
    return pa.array([*texts, "2026-02-30T00:00", "soon", "", None])


@given(st.lists(MOMENTS, min_size=1), st.sampled_from(["T", " "]))
def test_times_without_an_offset_are_utc(moments, between):
    texts = [moment.isoformat(between, "milliseconds") for moment in moments]
    for column in (pa.array(texts), damaged(texts)):
        times = read_times(column)
        assert times.ms[: len(texts)].tolist() == list(map(ms, moments))
        assert times.valid[: len(texts)].all()
        assert (times.kind[: len(texts)] == NAIVE).all()
        assert not times.valid[len(texts) :].any()


@given(st.lists(st.tuples(MOMENTS, OFFSETS), min_size=1))
def test_offsets_are_taken_off(pairs):
    moments = [moment.replace(tzinfo=zone) for moment, zone in pairs]
    texts = [moment.isoformat(timespec="milliseconds") for moment in moments]
    for column in (pa.array(texts), damaged(texts)):
        times = read_times(column)
        assert times.ms[: len(texts)].tolist() == list(map(ms, moments))
        assert (times.kind[: len(texts)] == OFFSET).all()


@pytest.mark.parametrize(
    ("text", "expected", "kind"),
    [
        ("2026-03-01T10:00Z", 1_772_359_200_000, OFFSET),
        ("2026-03-01T10:00:00.1234567Z", 1_772_359_200_123, OFFSET),
        ("2026-03-01T10:00:00+0530", 1_772_339_400_000, OFFSET),
        ("2026-03-01 10:00", 1_772_359_200_000, NAIVE),
        ("1772359200", 1_772_359_200_000, EPOCH_S),
        ("1772359200.25", 1_772_359_200_250, EPOCH_S),
        ("1772359200123", 1_772_359_200_123, EPOCH_MS),
    ],
)
def test_forms_of_a_time(text, expected, kind):
    for column in (pa.array([text]), damaged([text])):
        times = read_times(column)
        assert (times.ms[0], times.valid[0], times.kind[0]) == (expected, True, kind)


@pytest.mark.parametrize(
    "text",
    [
        *("2026-03-01", "2026-03", "10:00", "17", "99999999", "1772359200123456", "-1772359200"),
        *("1969-12-31T23:59:59", "2200-01-01T00:00", "0001-01-01T00:00:00", "9999-01-01T00:00"),
        *("2026-13-01T00:00:00", "2026-03-01T25:00:00", " 2026-03-01T10:00", "NaT", "today"),
    ],
)
def test_what_is_no_time_is_invalid(text):
    times = read_times(pa.array([text, "2026-03-01T10:00"]))
    assert times.valid.tolist() == [False, True]
    assert times.ms.tolist() == [0, 1_772_359_200_000]


def test_arrow_times_and_numbers():
    moment = datetime(2026, 3, 1, 10, tzinfo=UTC)
    for unit in ("s", "ms", "us", "ns"):
        aware = read_times(pa.array([moment, None], pa.timestamp(unit, "Europe/Oslo")))
        assert aware.ms.tolist() == [ms(moment), 0]
        assert aware.valid.tolist() == [True, False]
        assert aware.kind[0] == OFFSET
        naive = read_times(pa.array([moment.replace(tzinfo=None)], pa.timestamp(unit)))
        assert (naive.ms[0], naive.kind[0]) == (ms(moment), NAIVE)
    for number in (1_772_359_200, 1_772_359_200_000):
        for dtype in (pa.int64(), pa.float64()):
            times = read_times(pa.array([number, None], dtype))
            assert times.ms.tolist() == [ms(moment), 0]
            assert times.valid.tolist() == [True, False]
    assert not read_times(pa.array([float("nan"), float("inf"), 1e300])).valid.any()
    assert len(read_times(pa.array([], pa.string())).ms) == 0


def test_clocks_without_a_zone_are_not_mixed_with_utc():
    kinds = TimeKinds("log.csv", "ts", first_row=2)
    kinds.add(read_times(pa.array(["2026-03-01T10:00", "bad"])), np.array([0, 1]))
    kinds.add(read_times(pa.array(["2026-03-01T10:00"])), np.array([2]))
    with pytest.raises(InputError) as caught:
        kinds.add(read_times(pa.array(["bad", "2026-03-01T10:00Z"])), np.array([3, 4]))
    assert "column 'ts' mixes times: row 6 is with an offset to UTC, row 2 without" in str(
        caught.value
    )


def test_seconds_and_offsets_may_be_mixed():
    kinds = TimeKinds("log.csv", "ts", first_row=2)
    kinds.add(read_times(pa.array(["2026-03-01T10:00Z", "1772359200"])), np.array([0, 1]))
    assert kinds.notes() == ["times were taken as seconds since 1970, by their size"]
