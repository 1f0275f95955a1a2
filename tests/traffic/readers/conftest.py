"""Files that several tests of the readers use."""

from pathlib import Path

import numpy as np
import pytest

from twofa_lab.tables import LOGINS, POTENTIAL_OUTCOMES
from twofa_lab.traffic.readers import LogRead

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def check():
    """What must hold of every log that could be read."""
    return check_log


@pytest.fixture
def real_data():
    """The folder of real logs; the test is skipped where it is not there."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real logs are not beside this checkout (../shared/data)")
    return folder


@pytest.fixture
def samples():
    return ROOT / "data" / "logs"


def check_log(log: LogRead) -> LogRead:
    wanted = [column.name for column in LOGINS.columns if column not in POTENTIAL_OUTCOMES]
    assert list(log.columns) == wanted
    LOGINS.check(log.columns, only=wanted)
    user, time = log.columns["user_id"], log.columns["time"]
    assert len(log) == len(user) == log.reading.logins > 0
    assert log.columns["login_id"].tolist() == list(range(len(log)))
    same = user[1:] == user[:-1]
    assert (user[1:] >= user[:-1]).all()
    assert (time[1:] >= time[:-1])[same].all()
    assert log.reading.users == len(np.unique(user))
    for column in LOGINS.columns:
        if column.text:
            codes = log.columns[column.name]
            assert codes.min() >= -1
            assert codes.max() < len(log.vocabularies[column.name])
    if log.user_names is not None:
        assert set(user.tolist()) == set(range(len(log.user_names)))
    reading = log.reading
    assert reading.rows_read == len(np.unique(log.row_index)) + reading.rows_rejected
    assert sum(rejection.rows for rejection in reading.rejected) == reading.rows_rejected
    assert log.row_index.min() >= 0
    assert log.row_index.max() < reading.rows_read
    assert reading.to_dict()["rows_read"] == reading.rows_read
    return log
