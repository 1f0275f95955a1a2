import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofa_lab.errors import InputError
from twofa_lab.tables import ATTACKS
from twofa_lab.traffic.readers import values

INT64 = st.integers(-(2**63), 2**63 - 1)


def block(*texts: str | None) -> pa.DictionaryArray:
    return pa.array(texts, pa.string()).dictionary_encode()


@given(st.lists(st.lists(st.text(max_size=4), max_size=5), max_size=4))
def test_a_vocabulary_gives_every_text_back(blocks):
    words = values.Vocabulary("city", "int32")
    codes = [words.codes(block(*texts)).tolist() for texts in blocks]
    for texts, got in zip(blocks, codes, strict=True):
        known = [None if code < 0 else words.texts[code] for code in got]
        assert known == [None if text in {"", "-"} else text for text in texts]
    assert len(set(words.texts)) == len(words.texts)


def test_a_vocabulary_refuses_more_texts_than_its_column_holds():
    words = values.Vocabulary("device_type", "int8")
    assert words.codes(block(*map(str, range(128)))).max() == 127
    with pytest.raises(InputError, match="device_type holds more than 128 distinct texts"):
        words.codes(block("one more"))


@given(st.lists(INT64))
def test_whole_numbers_survive(numbers):
    got, valid = values.whole_numbers(block(*map(str, numbers)))
    assert got.tolist() == numbers
    assert valid.all()
    got, valid = values.whole_numbers(block(*(f"{number}.0" for number in numbers)))
    assert got.tolist() == numbers


@pytest.mark.parametrize(
    "text",
    ["1.5", "x", "0x1f", "1e3", "9223372036854775808", "99999999999999999999", " 1", "1_000", "٣"],
)
def test_what_is_no_whole_number_is_invalid(text):
    got, valid = values.whole_numbers(block(text, "9223372036854775807", "17"))
    assert got.tolist() == [0, 2**63 - 1, 17]
    assert valid.tolist() == [False, True, True]


def test_missing_numbers():
    texts = block("-", None, "", "5")
    assert values.whole_numbers(texts)[1].tolist() == [True] * 4
    assert values.whole_numbers(texts, optional=False)[1].tolist() == [False] * 3 + [True]
    assert values.missing_rows(texts).tolist() == [True] * 3 + [False]
    nulls = pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array([None, "3"]))
    assert values.whole_numbers(nulls)[0].tolist() == [0, 3]
    assert values.by_text(nulls, values.milliseconds, float, 0.0)[1].tolist() == [True, True]


def test_ids_a_spreadsheet_rounded():
    assert values.rounded_id("-4.32E+18") == -4_320_000_000_000_000_000
    assert values.rounded_id("12.5") == 12
    for text in ("17", "-17", "", "e5", "1e400", "9.9e+18", "-9.9e18", "1e", "nan"):
        assert values.rounded_id(text) is None, text


@pytest.mark.parametrize(
    ("text", "expected"),
    [("True", True), ("FALSE", False), ("yes", True), ("0", False), ("1.0", True), ("maybe", None)],
)
def test_truth(text, expected):
    assert values.boolean(text) is expected


def test_attack_kinds():
    assert [values.attack_kind(kind) for kind in ATTACKS] == list(range(len(ATTACKS)))
    assert values.attack_kind("false") == 0
    assert values.attack_kind("yes") == ATTACKS.index("reported")
    assert values.attack_kind("burglary") is None


def test_durations():
    for text, expected in (("0", 0.0), ("12.5", 12.5), ("-1", None), ("nan", None), ("inf", None)):
        assert values.milliseconds(text) == expected


def test_text_hashes_never_change():
    # fixed values: a stored device id must mean the same tomorrow and on another machine
    assert values.hash_texts(("abc", "d")).tolist() == [8952642330259793944, 4903023348233517914]
    assert values.hash_texts(()).dtype == np.uint64
