"""Real logs scored as they came: the public implementation's own scores, counts and the CSV."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.risk.freeman_oracle import LEVELS, complete, scores_as_it_came
from twofa_lab.errors import InputError
from twofa_lab.replay.fit import fit_scorer
from twofa_lab.replay.score_log import ScoredLog, check_target, score_log
from twofa_lab.risk.model_file import save_scorer
from twofa_lab.risk.vector import VECTOR
from twofa_lab.traffic.readers import read_columns
from twofa_lab.traffic.readers.rba import RBA_COLUMNS
from twofa_lab.traffic.world import World

ROOT = Path(__file__).resolve().parents[2]
LOGS = ROOT / "data" / "logs"


@pytest.fixture
def real_data() -> Path:
    """The folder of real logs; the test is skipped where it is not there."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real logs are not beside this checkout (../shared/data)")
    return folder


def scored(path: Path, form: str, scorer: str, **options: bool) -> ScoredLog:
    return score_log(read_columns(path, form, progress=False), scorer, **options)


def written(found: ScoredLog, folder: Path) -> list[dict[str, str]]:
    with found.to_csv(folder / "scores.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def rows_of_rba(path: Path) -> list[dict[str, object]]:
    """The file's rows as the oracle takes them, values as text."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {name: line[RBA_COLUMNS[name]] or None for name in LEVELS}
            | {
                "index": index,
                "user": line["User ID"],
                "time": line["Login Timestamp"],
                "password_ok": line["Login Successful"] == "True",
            }
            for index, line in enumerate(csv.DictReader(file))
        ]


def test_freeman_agrees_with_the_authors_own_scores(real_data: Path, tmp_path: Path) -> None:
    lines = written(
        scored(real_data / "rba-sample" / "rba-sample-2000.csv", "rba", "freeman"), tmp_path
    )
    found = {line["row_index"]: float(line["score"]) for line in lines}
    with (real_data / "freeman" / "scores.csv").open(encoding="utf-8", newline="") as file:
        theirs = list(csv.DictReader(file))
    assert len(theirs) == 100
    for line in theirs:
        assert found[line["row_index"]] == pytest.approx(
            float(line["das_group_freeman_score"]), rel=1e-9, abs=1e-9
        )


@pytest.mark.parametrize("where", ["sample", "real"])
def test_freeman_agrees_with_the_formula_on_every_row(
    where: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    path = LOGS / "rba.csv"
    if where == "real":
        path = request.getfixturevalue("real_data") / "rba-sample" / "rba-sample-2000.csv"
    rows = rows_of_rba(path)
    expected = {i: s for i, s in scores_as_it_came(rows).items() if s is not None}
    found = scored(path, "rba", "freeman")
    lines = written(found, tmp_path)
    assert [int(line["row_index"]) for line in lines] == sorted(expected)
    for line in lines:
        assert float(line["score"]) == pytest.approx(expected[int(line["row_index"])], rel=1e-9)
    firsts = len({row["user"] for row in filter(complete, rows)})
    assert found.unscored["the account's first login"] == firsts
    assert found.counts["rows_scored"] == len(expected)


@pytest.mark.parametrize(
    ("name", "form", "scorer"),
    [
        ("rba.csv", "rba", "rules"),
        ("rba.csv", "rba", "freeman"),
        ("auth.log", "openssh", "rules"),
        ("shop.csv", "generic", "rules"),
    ],
)
def test_every_row_is_accounted_for(name: str, form: str, scorer: str, tmp_path: Path) -> None:
    columns = (
        {"user_id": "account", "time": "ts", "password_ok": "ok"} if form == "generic" else None
    )
    log = read_columns(LOGS / name, form, columns=columns, progress=False)
    found = score_log(log, scorer)
    counts = found.counts
    assert counts["rows_read"] == log.reading.rows_read
    assert counts["rows_read"] == sum(counts.values()) - counts["rows_read"]
    assert counts["rows_unscored"] == sum(found.unscored.values())
    lines = written(found, tmp_path)
    assert list(lines[0]) == ["row_index", "login_id", "user_id", "score", "reasons"]
    assert len(lines) == counts["rows_scored"] > 0
    assert [int(line["row_index"]) for line in lines] == sorted(
        {int(line["row_index"]) for line in lines}
    )
    by_login = dict(zip(log.columns["login_id"].tolist(), range(len(log)), strict=True))
    for line in lines:
        at = by_login[int(line["login_id"])]
        assert log.columns["password_ok"][at]
        assert int(line["row_index"]) == log.row_index[at]
        assert float(line["score"]) == found.scored.score[at]  # written to the last bit
        user = int(log.columns["user_id"][at])
        assert line["user_id"] == (log.user_names[user] if log.user_names else str(user))
    assert str(counts["rows_scored"]) in str(found)
    assert found._repr_html_().startswith("<")


def test_repeated_lines_of_a_host_are_one_row(tmp_path: Path) -> None:
    path = tmp_path / "auth.log"
    head = "Dec 28 06:00:0{} gateway sshd[2000]: "
    path.write_text(
        head.format(1) + "Failed password for ann from 192.0.2.1 port 5 ssh2\n"
        + head.format(2) + "message repeated 3 times: [ Failed password for ann from 192.0.2.1 "
        "port 5 ssh2]\n"
        + head.format(3) + "Accepted password for ann from 192.0.2.1 port 5 ssh2\n",
        encoding="utf-8",
    )  # fmt: skip
    found = scored(path, "openssh", "rules")
    assert found.counts == {
        "rows_read": 3, "rows_scored": 1, "rows_unscored": 2, "rows_rejected": 0,
    }  # fmt: skip
    (line,) = written(found, tmp_path)
    assert (line["row_index"], line["user_id"], line["score"]) == ("2", "ann", "1")
    assert "failed_burst +0.60" in line["reasons"]


def test_a_row_of_several_attempts_is_scored_if_one_of_them_is() -> None:
    log = read_columns(LOGS / "rba.csv", "rba", progress=False)
    found = score_log(log, "freeman")
    assert set(found.unscored) == {"wrong password", "the account's first login"}
    assert replace(found, log=replace(log, row_index=np.zeros_like(log.row_index))).unscored == {}


def test_a_log_without_user_agents_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"no login of this openssh log has user_agent, browser"):
        scored(LOGS / "auth.log", "openssh", "freeman")


def test_names_that_break_lines_and_columns_stay_in_theirs(tmp_path: Path) -> None:
    names = ['ann "the" x', "b,c", "d\ne", "=1+1", "ünïcode", "f'g"]
    with (tmp_path / "log.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["user_id", "time", "password_ok"])
        writer.writerows([name, 1_700_000_000 + n, "true"] for n, name in enumerate(names))
        writer.writerow(["late", "no time", "true"])
    found = scored(tmp_path / "log.csv", "generic", "rules")
    assert [line["user_id"] for line in written(found, tmp_path)] == names
    assert found.counts["rows_rejected"] == 1


def test_row_index_counts_rows_that_were_rejected_too(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(
        "user_id,time,password_ok\nann,never,true\nbob,1700000009,true\nann,1700000001,true\n",
        encoding="utf-8",
    )
    lines = written(scored(path, "generic", "rules"), tmp_path)
    assert [(line["row_index"], line["user_id"]) for line in lines] == [("1", "bob"), ("2", "ann")]


def test_the_attack_term_takes_the_log_s_block_list() -> None:
    log = read_columns(LOGS / "rba.csv", "rba", progress=False)
    plain, termed = (score_log(log, "freeman", attack_term=on).scored for on in (False, True))
    there = plain.unscored == 0
    factor = np.where(log.columns["ip_listed"][there], 0.990, 0.099)
    np.testing.assert_allclose(termed.score[there], plain.score[there] * factor, rtol=1e-12)
    listed = there & log.columns["ip_listed"]
    assert all("listed_address" in termed.reasons[code] for code in termed.reason[listed])
    with pytest.raises(InputError, match="rules scorer has none"):
        score_log(log, "rules", attack_term=True)


def test_scores_replace_no_log_and_leave_no_pieces(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("user_id,time,password_ok\nann,1700000001,true\n", encoding="utf-8")
    found = scored(log, "generic", "rules")
    before = log.read_bytes()
    (tmp_path / "same.csv").symlink_to(log)
    for target, told in (
        (log, "is the log itself"),
        (tmp_path / "same.csv", "is the log itself"),
        (tmp_path, "is a directory"),
        (tmp_path / "none" / "x.csv", "no directory that exists"),
    ):
        with pytest.raises(InputError, match=told):
            found.to_csv(target)
        with pytest.raises(InputError, match=told):
            check_target(target, log)
    assert log.read_bytes() == before
    found.to_csv(tmp_path / "out.csv")
    found.to_csv(tmp_path / "out.csv")  # replaces an older file of scores
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log.csv", "out.csv", "same.csv"]


def test_an_unknown_scorer_is_refused() -> None:
    with pytest.raises(InputError, match="use one of rules, freeman"):
        scored(LOGS / "rba.csv", "rba", "astrology")


# The learned scorer.


def test_a_log_is_scored_by_a_fitted_model(world: World, tmp_path: Path) -> None:
    model = save_scorer(fit_scorer(world, "learned", max_iter=30), tmp_path / "m.skops")
    log = read_columns(LOGS / "rba.csv", "rba", progress=False)
    found = score_log(log, "learned", model=model)
    lines = written(found, tmp_path)
    right = int(log.columns["password_ok"].sum())
    assert found.counts["rows_scored"] == len(lines) == right
    scores = [float(line["score"]) for line in lines]
    assert all(0.0 < score < 1.0 for score in scores)
    assert len(set(scores)) > 1
    named = {reason for line in lines for reason in line["reasons"].split("; ") if reason}
    assert named <= {signal.name for signal in VECTOR}


@pytest.mark.parametrize("scorer", ["learned", "anomaly"])
def test_without_a_model_a_scorer_says_what_it_was_fitted_on(scorer: str) -> None:
    log = read_columns(LOGS / "rba.csv", "rba", progress=False)
    found = score_log(log, scorer)
    assert found.counts["rows_scored"] > 0
    assert found.to_dict()["notes"][-1].startswith("fitted on simulated traffic (us-consumer")
    assert "fitted on simulated traffic" in str(found)


def test_a_model_is_refused_where_it_cannot_serve(world: World, tmp_path: Path) -> None:
    log = read_columns(LOGS / "rba.csv", "rba", progress=False)
    freeman = save_scorer(fit_scorer(world, "freeman"), tmp_path / "f.skops")
    with pytest.raises(InputError, match="holds no anomaly scorer"):
        score_log(log, "anomaly", model=freeman)
    with pytest.raises(InputError, match="rules scorer takes none"):
        score_log(log, "rules", model=tmp_path / "m.skops")
    with pytest.raises(InputError, match="No such file"):
        score_log(log, "learned", model=tmp_path / "m.skops")
