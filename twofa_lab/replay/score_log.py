"""Score a real log as it came: each login against what came before it, nothing replayed.

No policy plays a part: who logged in is what the log says, nobody is throttled, and every
successful login enters the history. The rules count over the account alone, Freeman's scorer over
all accounts in time.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
from tqdm import tqdm

from twofa_lab.errors import InputError, WorkError
from twofa_lab.replay.beside import beside
from twofa_lab.replay.fit import fit_scorer
from twofa_lab.risk.anomaly import Anomaly
from twofa_lab.risk.freeman import LEVELS
from twofa_lab.risk.freeman_model import score_as_it_came
from twofa_lab.risk.learned import Learned
from twofa_lab.risk.model_file import load_scorer
from twofa_lab.risk.score_rules import score_by_rules
from twofa_lab.risk.scored import UNSCORED, Scored
from twofa_lab.sheet import Sheet, number
from twofa_lab.tables import LOGINS, Array
from twofa_lab.traffic.readers.reading import LogRead
from twofa_lab.traffic.simulate import simulate

__all__ = ["SCORERS", "ScoredLog", "check_scorer", "check_target", "score_log"]

Advance = Callable[[float], object]
_FITTED: dict[str, type[Learned | Anomaly]] = {"learned": Learned, "anomaly": Anomaly}

_CHUNK = 1 << 18
_COLUMNS = ("row_index", "login_id", "user_id", "score", "reasons")


@dataclass(frozen=True, eq=False, repr=False)
class ScoredLog:
    """A log with a score for each login that could be scored; renders itself."""

    scorer: str
    log: LogRead
    scored: Scored
    fitted_on: str = ""

    @property
    def counts(self) -> dict[str, int]:
        """Rows of the file: read, scored, unscored, rejected. The first is the sum of the rest."""
        reading = self.log.reading
        unscored = sum(self.unscored.values())
        return {
            "rows_read": reading.rows_read,
            "rows_scored": reading.rows_read - reading.rows_rejected - unscored,
            "rows_unscored": unscored,
            "rows_rejected": reading.rows_rejected,
        }

    @property
    def unscored(self) -> dict[str, int]:
        """Rows without a score, by reason. A host's line that tells of several attempts is one row,
        and scored if one of them is.
        """
        row, why = self.log.row_index, self.scored.unscored
        order = np.lexsort((why, row))
        first = order[np.append(True, np.diff(row[order]) > 0)]
        counts = np.bincount(why[first], minlength=len(UNSCORED)).tolist()
        return {name: n for name, n in zip(UNSCORED, counts, strict=True) if name and n}

    def to_csv(self, path: str | Path, *, progress: bool = False) -> Path:
        """Write a line a scored login, in the order of the log: `row_index` (the data row, from
        0), `login_id`, `user_id` (the name where the log names its users), `score`, `reasons`.

        The file appears whole or not at all. `InputError` if it would replace the log.
        """
        target = Path(path)
        check_target(target, self.log.reading.path)
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            with part.open("wb") as file, _bar(self._order, "writing", progress) as bar:
                file.write(",".join(_COLUMNS).encode() + b"\n")
                for start in range(0, len(self._order), _CHUNK):
                    rows = self._order[start : start + _CHUNK]
                    self._write(file, rows)
                    bar.update(len(rows))
            part.replace(target)
        except OSError as error:
            raise WorkError(f"{target}: {error.strerror or error}") from None
        finally:
            part.unlink(missing_ok=True)
        return target

    @property
    def _order(self) -> Array:
        """The scored logins as they came."""
        rows = np.flatnonzero(self.scored.unscored == 0)
        order: Array = rows[np.argsort(self.log.row_index[rows], kind="stable")]
        return order

    def _write(self, file: Any, rows: Array) -> None:
        user = pa.array(self.log.columns["user_id"][rows])
        if self.log.user_names is not None:
            user = pa.array(self.log.user_names, pa.string()).take(user)
        texts = pa.array(self.scored.reasons, pa.string())
        lines = pa.record_batch(
            [
                pa.array(self.log.row_index[rows]),
                pa.array(self.log.columns["login_id"][rows]),
                user,
                pa.array(self.scored.score[rows]),
                texts.take(pa.array(self.scored.reason[rows])),
            ],
            names=list(_COLUMNS),
        )
        pacsv.write_csv(lines, file, pacsv.WriteOptions(include_header=False))

    def table(self) -> Sheet:
        """The counts, why logins have no score, and how the scores are spread."""
        rows = [(name.replace("_", " "), number(n)) for name, n in self.counts.items()]
        rows += [(f"unscored: {why}", number(n)) for why, n in self.unscored.items()]
        scores = self.scored.score[self.scored.unscored == 0]
        if len(scores):
            for share in (50, 90, 99, 100):
                rows.append((f"score, {share} % at most", f"{np.percentile(scores, share):.4g}"))
        title = f"{self.scorer} on {self.log.reading.path}"
        return Sheet(title, ("", "count"), tuple(rows), self.fitted_on)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        reading = self.log.reading
        return self.counts | {
            "scorer": self.scorer,
            "format": reading.format,
            "unscored": self.unscored,
            "rejected": reading.to_dict()["rejected"],
            "notes": [*reading.notes, *filter(None, [self.fitted_on])],
        }

    def __str__(self) -> str:
        return f"{self.log.reading}\n\n{self.table()}"

    def _repr_html_(self) -> str:
        return self.table().to_html()


def check_target(out: str | Path, logfile: str | Path) -> None:
    """Raise `InputError` if scores cannot be written there, or would replace the log itself."""
    target = Path(out)
    if target.is_dir() or not target.parent.is_dir():
        what = "is a directory" if target.is_dir() else "is in no directory that exists"
        raise InputError(f"{target}: {what}; name a file to write the scores to")
    if target.exists() and Path(logfile).exists() and target.samefile(logfile):
        raise InputError(f"{target}: is the log itself; write the scores to another file")


def check_scorer(
    scorer: str, *, attack_term: bool = False, model: str | Path | None = None
) -> None:
    """Raise `InputError` unless it is one of `SCORERS` and takes these options."""
    if scorer not in SCORERS:
        raise InputError(f"unknown scorer {scorer!r}: use one of {', '.join(SCORERS)}")
    if scorer not in _FITTED and model is not None:
        raise InputError(
            f"a model is for {' and '.join(_FITTED)}; the {scorer} scorer takes none here"
        )
    if attack_term and scorer != "freeman":
        raise InputError(f"the attack term is freeman's; the {scorer} scorer has none")


def score_log(
    log: LogRead,
    scorer: str,
    *,
    attack_term: bool = False,
    model: str | Path | None = None,
    progress: bool = False,
) -> ScoredLog:
    """Score every login of a log that has what the scorer needs.

    `scorer` is one of `SCORERS`. `attack_term` (freeman) weighs an address by whether it is on the
    block list that the log names (`ip_listed`). `model` is the file of a learned or anomaly scorer;
    without one it is fitted on simulated traffic, which the result then says. `progress`: a bar on
    standard error when it takes over a second. `InputError` for a scorer that is none, and for one
    that this kind of log cannot feed.
    """
    check_scorer(scorer, attack_term=attack_term, model=model)
    with _bar(log, "scoring", progress) as bar:
        if scorer in _FITTED:
            found, fitted_on = _fitted(scorer, model)
            table = {**log.columns} | beside(log.columns, log.vocabularies)
            scored = found.score(table, log.vocabularies, advance=bar.update)
            return ScoredLog(scorer, log, scored, fitted_on)
        return ScoredLog(scorer, log, _BY_NAME[scorer](log, attack_term, bar.update))


def _bar(what: Any, verb: str, progress: bool) -> Any:
    return tqdm(
        total=len(what), unit="login", unit_scale=True, desc=verb, delay=1, leave=False,
        disable=not progress, file=sys.stderr,
    )  # fmt: skip


def _score_freeman(log: LogRead, attack_term: bool, advance: Advance) -> Scored:
    empty = [
        name
        for name in LEVELS
        if (log.columns[name] == (-1 if LOGINS.column(name).text else 0)).all()
    ]
    if empty:
        raise InputError(
            f"{log.reading.path}: freeman scores by {', '.join(LEVELS)}, and no login of this "
            f"{log.reading.format} log has {', '.join(empty)}; use the rules scorer"
        )
    return score_as_it_came(
        log.columns, log.vocabularies, log.row_index, attack_term=attack_term, advance=advance
    )


def _score_rules(log: LogRead, attack_term: bool, advance: Advance) -> Scored:  # noqa: ARG001
    return score_by_rules(log.columns, log.vocabularies, advance=advance)


def _fitted(scorer: str, model: str | Path | None) -> tuple[Learned | Anomaly, str]:
    """The scorer, and what it was fitted on. A log is scored as it came: none is fitted to it."""
    if model is None:
        world = simulate("us-consumer", users=20_000, days=60, seed=7)
        facts = world.facts
        found: Any = fit_scorer(world, scorer)  # type: ignore[arg-type]
        text = f"fitted on simulated traffic ({facts.name}, {facts.users:,} accounts, "
        return found, text + f"{facts.days} days, seed {facts.seed}): give a model of your own"
    found = load_scorer(model)
    if not isinstance(found, _FITTED[scorer]):
        raise InputError(f"{model}: holds no {scorer} scorer")
    return found, f"fitted on {found.card.data['world']}, {found.card.labels}"


_BY_NAME: dict[str, Callable[[LogRead, bool, Advance], Scored]] = {
    "rules": _score_rules,
    "freeman": _score_freeman,
}

SCORERS = (*_BY_NAME, *_FITTED)
"""Scorers of a log by name."""
