"""Freeman et al.'s scorer over tables, and for one login at a time.

Two modes. *As it came* (`score_as_it_came`): every login against all logins before it in time, as
the public implementation counts. *Fitted* (`Freeman.fit`): the global counts of a training period
stay as they are, and only the account's own logins go on being counted; this is what a service
would run, and what a closed loop can take, in which one account's fate must not hang on another's.

Only successful logins (and sign-ups) with a value on every level are scored and counted. A missing
value is no value: two logins without a network are not from the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from twofa_lab.errors import InputError
from twofa_lab.risk.codebook import MISSING, Codebook
from twofa_lab.risk.freeman import (
    LEVELS,
    P_ATTACK_LISTED,
    P_ATTACK_UNLISTED,
    AccountCounts,
    GlobalCounts,
    new_account_counts,
    new_global_counts,
    read_global,
    record_account,
    record_all,
    reserve,
    score_accounts,
    score_one,
    start_account_counts,
    walk_global,
)
from twofa_lab.risk.freeman_explain import FreemanExplanation, explain_login
from twofa_lab.risk.model_card import ModelCard
from twofa_lab.risk.scored import Scored
from twofa_lab.tables import Array

__all__ = ["Freeman", "FreemanAccount", "login_of", "rows_before", "score_as_it_came"]

Table = Mapping[str, Array]
Words = Mapping[str, Sequence[str]]
Login = Mapping[str, Any]
Advance = Callable[[float], object]

_CHUNK = 1 << 16  # rows between two looks at the room left, and two reports of progress
_WRONG, _NO_VALUE, _FIRST_LOGIN = 1, 2, 3  # places in `UNSCORED`
_REASONS = tuple(
    "; ".join(f"new_{name}" for bit, name in enumerate(LEVELS) if mask >> bit & 1)
    + ("; " if mask > 128 else "")
    + ("listed_address" if mask & 128 else "")
    for mask in range(256)
)


class _Counted(NamedTuple):
    """The rows that count, account-major: their places in the table, their codes (levels, rows),
    and whether each is its account's first.
    """

    rows: Array
    codes: Array
    first: Array


def score_as_it_came(
    table: Table,
    vocabularies: Words,
    row_index: Array | None = None,
    *,
    attack_term: bool = False,
    advance: Advance | None = None,
) -> Scored:
    """Score each login of an account-major table against all that came before it.

    Order is by time, then by `row_index` (default: `login_id`). `attack_term` multiplies by
    p(attack | address), which takes the column `ip_listed`. `advance` is told of logins as they
    are done: of one half when its global part is, of the other when its score is.
    """
    learned: list[Codebook] = []

    def read(part: Table) -> Array:
        book, codes = Codebook.empty(LEVELS).learn(part, vocabularies)
        learned.append(book)
        return codes

    counted = _counted(table, read)
    counts = new_global_counts(learned[0].sizes)
    tie = table["login_id"] if row_index is None else row_index
    order = np.lexsort((tie[counted.rows], table["time"][counted.rows]))
    shares = np.zeros((3, len(order)))
    for start in range(0, len(order), _CHUNK):
        some = order[start : start + _CHUNK]
        counts = reserve(counts, len(some))
        walk_global(counts, counted.codes, some, counted.first, shares)
        if advance:
            advance(len(some) / 2)
    return _scored(table, counted, shares, attack_term, advance)


@dataclass(frozen=True, eq=False)
class Freeman:
    """The scorer with the global counts of a training period.

    >>> import twofa_lab as lab
    >>> world = lab.simulate("us-consumer", users=200, days=30, seed=1)
    >>> words = world.facts.vocabularies
    >>> tables = [shard.logins for shard in world.shards()]
    >>> model = Freeman.fit(tables, words)
    >>> found = model.score(tables[0], words)
    >>> bool(np.nanmin(found.score) > 0)
    True
    >>> model.account().score(login_of(tables[0], words, 0)) is None  # nothing known of it yet
    True
    """

    book: Codebook
    counts: GlobalCounts
    attack_term: bool = False
    card: ModelCard | None = None

    @classmethod
    def fit(
        cls, tables: Iterable[Table], vocabularies: Words, *, attack_term: bool = False
    ) -> Freeman:
        """Count the successful logins of account-major tables that share no account, one by one.

        `InputError` if there is no login with all values to count.
        """
        book = Codebook.empty(LEVELS)
        counts = new_global_counts(book.sizes)

        def read(part: Table) -> Array:
            nonlocal book
            book, codes = book.learn(part, vocabularies)
            return codes

        for table in tables:
            counted = _counted(table, read)
            counts = new_global_counts(book.sizes, counts)
            for start in range(0, len(counted.rows), _CHUNK):
                some = slice(start, start + _CHUNK)
                counts = reserve(counts, len(counted.rows[some]))
                record_all(counts, counted.codes[:, some], counted.first[some])
        if not counts.numbers[0]:
            raise InputError(
                "nothing to fit on: no successful login has a value in each of " + ", ".join(LEVELS)
            )
        return cls(book, counts, attack_term)

    def score(self, table: Table, vocabularies: Words, *, advance: Advance | None = None) -> Scored:
        """Score each login of an account-major table: global counts as fitted, the account's own
        over its rows before.
        """
        counted = _counted(table, lambda part: self.book.codes(part, vocabularies))
        shares = np.zeros((3, len(counted.rows)))
        read_global(self.counts, counted.codes, shares)
        return _scored(table, counted, shares, self.attack_term, advance)

    def columns(self, table: Table, vocabularies: Words) -> tuple[Array, Array]:
        """What a closed loop reads of each row: codes (levels, rows), int32, -1 where a value is
        missing; and the global part (3, rows), with the attack term in the last where it is on.
        """
        codes = self.book.codes({name: table[name] for name in LEVELS}, vocabularies)
        shares = np.zeros((3, codes.shape[1]))
        whole = np.flatnonzero((codes != MISSING).all(axis=0))
        found = np.zeros((3, len(whole)))
        read_global(self.counts, np.ascontiguousarray(codes[:, whole]), found)
        shares[:, whole] = found
        if self.attack_term:
            shares[2] *= np.where(table["ip_listed"], P_ATTACK_LISTED, P_ATTACK_UNLISTED)
        return codes, shares

    def account(self) -> FreemanAccount:
        """A new account, to score its logins one at a time."""
        return FreemanAccount(self)


class FreemanAccount:
    """One account as a service keeps it: score a login, then `record` it if it was completed.

    A login is a mapping with a value for each of `LEVELS` (addresses and networks as numbers, see
    `tables.LOGINS`; None, 0, empty and `-` are missing), and `ip_listed` for the attack term.
    """

    def __init__(self, model: Freeman) -> None:
        self._model = model
        self._own: dict[tuple[int, Any], int] = {}  # codes of values the model does not know
        self._past: list[Array] = []
        self._counts = self._workspace(32)

    def _workspace(self, room: int) -> AccountCounts:
        values = np.array([7 * room])
        counts = new_account_counts(room, values)
        start_account_counts(counts, room, int(values[0]))
        for codes in self._past:
            record_account(counts, codes, 0)
        self._room = room
        return counts

    def _codes(self, login: Login, *, keep: bool = False) -> Array | None:
        """The login's codes, None if a value is missing; `keep` remembers those of new values."""
        codes = np.empty((len(LEVELS), 1), np.int32)
        for level, name in enumerate(LEVELS):
            if name not in login:
                raise InputError(f"the login has no value for {name!r}; give None if it is missing")
            code = self._model.book.code(level, login[name])
            if code == MISSING:
                return None
            if code is None:
                unused = len(self._model.book.values[level]) + len(self._own)
                code = self._own.get((level, login[name]), unused)
                if keep:
                    self._own[level, login[name]] = code
            codes[level, 0] = code
        return codes

    def score(self, login: Login) -> float | None:
        """The login's score; None where it has none (no past, or a value is missing)."""
        codes = self._codes(login)
        if codes is None or not self._past:
            return None
        score = float(score_one(self._model.counts, self._counts, codes))
        return score * _attack(login["ip_listed"]) if self._model.attack_term else score

    def record(self, login: Login) -> None:
        """Count a completed login; one with a missing value leaves nothing behind."""
        codes = self._codes(login, keep=True)
        if codes is None:
            return
        if len(self._past) == self._room:
            self._counts = self._workspace(2 * self._room)
        record_account(self._counts, codes, 0)
        self._past.append(codes)

    def explain(self, login: Login) -> FreemanExplanation:
        """The login's score taken apart; `InputError` where it has none."""
        codes = self._codes(login)
        if codes is None:
            missing = [
                n for at, n in enumerate(LEVELS) if self._model.book.code(at, login[n]) == -1
            ]
            raise InputError(f"a login without {', '.join(missing)} has no score to explain")
        if not self._past:
            raise InputError("an account's first login has no score to explain")
        attack = _attack(login["ip_listed"]) if self._model.attack_term else None
        return explain_login(self._model.counts, self._counts, codes, login, attack)


def login_of(table: Table, vocabularies: Words, row: int) -> dict[str, Any]:
    """One row of a logins table as a login for `FreemanAccount`; None where a value is missing."""
    login: dict[str, Any] = {"ip_listed": bool(table["ip_listed"][row])}
    for name in LEVELS:
        value = int(table[name][row])
        if name in ("ip", "asn"):
            login[name] = value or None
        else:
            login[name] = vocabularies[name][value] if value >= 0 else None
    return login


def rows_before(table: Table, row: int, row_index: Array | None = None) -> Array:
    """The mask of the rows that came before one: earlier, or at the same time and further up."""
    tie = table["login_id"] if row_index is None else row_index
    time = table["time"]
    mask: Array = (time < time[row]) | ((time == time[row]) & (tie < tie[row]))
    return mask


def _attack(listed: bool) -> float:
    return P_ATTACK_LISTED if listed else P_ATTACK_UNLISTED


def _counted(table: Table, read: Callable[[Table], Array]) -> _Counted:
    done = np.flatnonzero(table["password_ok"] | table["signup"])
    codes = read({name: table[name][done] for name in LEVELS})
    whole = (codes != MISSING).all(axis=0)
    if not whole.all():
        done, codes = done[whole], np.ascontiguousarray(codes[:, whole])
    user = table["user_id"][done]
    return _Counted(done, codes, np.append(True, user[1:] != user[:-1])[: len(user)])


def _scored(
    table: Table, counted: _Counted, shares: Array, attack_term: bool, advance: Advance | None
) -> Scored:
    """Walk the accounts over the global parts, and lay the results out by the table's rows."""
    rows, codes, first = counted
    score, new = np.full(len(rows), np.nan), np.zeros(len(rows), np.uint8)
    starts = np.append(np.flatnonzero(first), len(rows))
    values = codes.max(axis=1, initial=-1).astype(np.int64) + 1
    account = new_account_counts(int(np.diff(starts).max(initial=1)), values)
    a = 0
    while a < len(starts) - 1:
        b = max(int(np.searchsorted(starts, starts[a] + _CHUNK, side="right")) - 1, a + 1)
        score_accounts(account, starts[a : b + 1], codes, shares, int(values.sum()), score, new)
        if advance:
            advance(float(starts[b] - starts[a]) / 2)
        a = b
    all_rows = len(table["user_id"])
    found = Scored(
        np.full(all_rows, np.nan), np.zeros(all_rows, np.uint8), _REASONS,
        np.where(table["password_ok"] | table["signup"], _NO_VALUE, _WRONG).astype(np.uint8),
    )  # fmt: skip
    if attack_term:
        listed = table["ip_listed"][rows]
        score *= np.where(listed, P_ATTACK_LISTED, P_ATTACK_UNLISTED)
        new |= listed.astype(np.uint8) << 7
    found.score[rows], found.reason[rows] = score, new
    found.unscored[rows] = np.where(first, _FIRST_LOGIN, 0)
    return found
