"""The statistical scorer of Freeman et al. (NDSS 2016), in the form of its public implementation.

A login is the more suspicious the rarer its address and client are on the account, measured
against how common they are among everybody's logins. Each of the two features is looked at on
levels, the most specific first: address, network, country; user agent, browser, system, device
type. Over the *successful* logins with every value that came before (Wiefling et al., ACM TOPS
2022, whose weights these are too):

- c_l logins with level l's value, of N logins of U accounts; u_l of the account's n logins; D_l
  distinct values of level l, d_l of them seen together with the value v of level 1;
- G = w_1 [c_1 > 0 ? c_1/(N+M) c_1/(c_1+M') : 1/(N+M)] + sum over l >= 2 of w_l c_l/N, where
  M = 1 + sum over l >= 2 of D_l and M' = 1 + sum over l >= 2 of d_l(v);
- L = sum over l of w_l u_l/n; the feature's ratio is G/L, or 4 where L = 0;
- score = ratio of the address x ratio of the client x (1/U) / (n/N).

The *global* part (c, D, d, N, U) and the *account's* part (u, n) are kept apart, in arrays that
compiled code walks without allocating: the global part of a login is a column, computed once; the
account's part is state, and depends on what the account completed. An unseen value has c = 0; one
that is missing leaves its login unscored and unrecorded, which is the caller's to see to.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from twofa_lab.compiled import loop, mix, part
from twofa_lab.errors import InputError
from twofa_lab.tables import Array

__all__ = [
    "ACCOUNTS",
    "FEATURES",
    "LEVELS",
    "LOGINS_SEEN",
    "P_ATTACK_LISTED",
    "P_ATTACK_UNLISTED",
    "WEIGHTS",
    "AccountCounts",
    "GlobalCounts",
    "account_shares",
    "count_in_account",
    "count_of",
    "feature_ratio",
    "global_shares",
    "new_account_counts",
    "new_global_counts",
    "read_global",
    "record_account",
    "record_all",
    "record_global",
    "reserve",
    "score_accounts",
    "score_of",
    "score_one",
    "start_account_counts",
    "walk_global",
]

FEATURES = {
    "address": ("ip", "asn", "country"),
    "client": ("user_agent", "browser", "os", "device_type"),
}
"""The two features and their levels, columns of the logins table."""

LEVELS = FEATURES["address"] + FEATURES["client"]
_FIRST, _LAST = (0, 3), (3, 7)  # the levels of each feature

WEIGHTS = np.array(
    [
        *(0.6, 0.3, 0.1),
        *(0.5386653840551359, 0.2680451498625666, 0.18818295100109536, 0.0051065150812021525),
    ]
)
"""Weights of the levels: the public implementation's, each feature's adding up to 1."""

P_ATTACK_LISTED, P_ATTACK_UNLISTED = 0.990, 0.099
"""The optional attack term p(attack | address): on a block list or not (public implementation)."""

_UNKNOWN_TO_ACCOUNT = 4.0  # the ratio where nothing of a feature was seen on the account

LOGINS_SEEN, ACCOUNTS, _DISTINCT, _PAIRS = 0, 1, 2, 4  # places in `GlobalCounts.numbers`
_NOW, _MASK, _COMPLETED = range(3)  # places in `AccountCounts.numbers`
_MOST_ROWS = 1 << 29  # codes of the first levels have this many values in a pair's key


class GlobalCounts(NamedTuple):
    """What all accounts did, as int64 arrays.

    `counts`: c of every value, level after level, from `starts[level]` on. `heads`: a row a value
    of the two first levels, with the sum of d over the levels below, and on each of those the code,
    plus 1, of the value it was first seen with. `pairs`: an open-addressed set of the others it was
    seen with, which are few. `numbers`: N, U, the sum of D a feature, and the pairs held.
    """

    counts: Array
    starts: Array
    heads: Array
    pairs: Array
    numbers: Array


class AccountCounts(NamedTuple):
    """What one account did: a workspace that serves one account after another.

    `table`: open-addressed, a row a value: key (code and level), epoch, u. An entry of another
    epoch belongs to an account walked before and counts as empty. `numbers`: epoch, mask, n.
    """

    table: Array
    numbers: Array


def new_global_counts(sizes: Array, before: GlobalCounts | None = None) -> GlobalCounts:
    """Counts for so many values by level; taken over from `before`, which knew fewer values."""
    if sizes[0] >= _MOST_ROWS or sizes[3] >= _MOST_ROWS:
        raise InputError(f"more than {_MOST_ROWS:,} distinct addresses or user agents")
    starts = np.append(0, np.cumsum(sizes)).astype(np.int64)
    counts = np.zeros(starts[-1], np.int64)
    heads = np.zeros((sizes[0] + sizes[3], 4), np.int64)
    if before is None:
        return GlobalCounts(counts, starts, heads, np.zeros(8, np.int64), np.zeros(5, np.int64))
    old = np.diff(before.starts)
    for level in range(len(LEVELS)):
        known = before.counts[before.starts[level] : before.starts[level + 1]]
        counts[starts[level] : starts[level] + old[level]] = known
    heads[: old[0]] = before.heads[: old[0]]
    heads[sizes[0] : sizes[0] + old[3]] = before.heads[old[0] :]
    return GlobalCounts(counts, starts, heads, before.pairs.copy(), before.numbers.copy())


def reserve(counts: GlobalCounts, rows: int) -> GlobalCounts:
    """The same counts with room for the pairs of so many more logins."""
    needed = 2 * (int(counts.numbers[_PAIRS]) + rows * (len(LEVELS) - len(FEATURES))) + 2
    capacity = len(counts.pairs)
    if capacity >= needed:
        return counts
    while capacity < needed:
        capacity *= 2
    pairs = np.zeros(capacity, np.int64)
    _move_pairs(counts.pairs, pairs)
    return counts._replace(pairs=pairs)


def new_account_counts(most_logins: int, sizes: Array) -> AccountCounts:
    """A workspace for accounts of at most so many logins, over so many values by level."""
    return AccountCounts(
        np.zeros((_capacity(most_logins, int(sizes.sum())), 3), np.int64), np.zeros(3, np.int64)
    )


@part
def _capacity(logins, values):  # type: ignore[no-untyped-def]
    """Slots for an account's values: an account has no more than there are, or than it used."""
    needed = 2 * min(7 * logins, values) + 2
    capacity = 8
    while capacity < needed:
        capacity *= 2
    return capacity


@part
def _add_pair(pairs, level, first, value):  # type: ignore[no-untyped-def]
    """Enter a pair of values; whether it was new. The key is exact: 29, 31 and 3 bits."""
    key = ((np.int64(first) << 31 | np.int64(value)) << 3) | level  # level >= 1: never 0
    mask = len(pairs) - 1
    slot = np.int64(mix(np.uint64(key)) & np.uint64(mask))
    while pairs[slot] != 0:
        if pairs[slot] == key:
            return False
        slot = (slot + 1) & mask
    pairs[slot] = key
    return True


@loop
def _move_pairs(old: Array, new: Array) -> None:
    mask = len(new) - 1
    for key in old:
        if key != 0:
            slot = np.int64(mix(np.uint64(key)) & np.uint64(mask))
            while new[slot] != 0:
                slot = (slot + 1) & mask
            new[slot] = key


@part
def count_of(counts, level, code):  # type: ignore[no-untyped-def]
    """How many logins had a value (c); 0 for one past the known ones."""
    place = counts.starts[level] + code
    return counts.counts[place] if place < counts.starts[level + 1] else 0


@part
def _global_share(counts, codes, i, feature):  # type: ignore[no-untyped-def]
    """G of one feature of row `i`; at least one login must have been recorded."""
    first = _FIRST[feature]
    logins = counts.numbers[LOGINS_SEEN]
    smoothed = logins + 1 + counts.numbers[_DISTINCT + feature]
    seen = count_of(counts, first, codes[first, i])
    if seen > 0:
        partners = counts.heads[feature * counts.starts[1] + codes[first, i], 0]
        share = WEIGHTS[first] * (seen / smoothed) * (seen / (seen + 1 + partners))
    else:
        share = WEIGHTS[first] / smoothed
    for level in range(first + 1, _LAST[feature]):
        share += WEIGHTS[level] * count_of(counts, level, codes[level, i]) / logins
    return share


@part
def global_shares(counts, codes, i):  # type: ignore[no-untyped-def]
    """The global part of row `i` of `codes` (levels, rows): G of the address and of the client,
    and N/U.
    """
    numbers = counts.numbers
    return (
        _global_share(counts, codes, i, 0),
        _global_share(counts, codes, i, 1),
        numbers[LOGINS_SEEN] / numbers[ACCOUNTS],
    )


@part
def record_global(counts, codes, i, new_account):  # type: ignore[no-untyped-def]
    """Enter a login into the global counts (`reserve` made room); `new_account`: its first."""
    numbers = counts.numbers
    for feature in range(2):
        first = _FIRST[feature]
        value = codes[first, i]
        counts.counts[counts.starts[first] + value] += 1
        head = feature * counts.starts[1] + value
        for level in range(first + 1, _LAST[feature]):
            below = np.int64(codes[level, i])
            place = counts.starts[level] + below
            if counts.counts[place] == 0:
                numbers[_DISTINCT + feature] += 1
            counts.counts[place] += 1
            usual = counts.heads[head, level - first]
            if usual == 0:
                counts.heads[head, level - first] = below + 1
                counts.heads[head, 0] += 1
            elif usual != below + 1 and _add_pair(counts.pairs, level, value, below):
                numbers[_PAIRS] += 1
                counts.heads[head, 0] += 1
    numbers[LOGINS_SEEN] += 1
    if new_account:
        numbers[ACCOUNTS] += 1


@part
def start_account_counts(account, logins, values):  # type: ignore[no-untyped-def]
    """Forget the account before; the one to come has at most so many logins and values."""
    account.numbers[_NOW] += 1
    account.numbers[_MASK] = _capacity(logins, values) - 1
    account.numbers[_COMPLETED] = 0


@part
def _find(account, level, code):  # type: ignore[no-untyped-def]
    """The slot of a value in the account's table, or the free one to put it in."""
    table = account.table
    now, mask = account.numbers[_NOW], account.numbers[_MASK]
    key = np.int64(code) << 3 | level
    slot = np.int64(mix(np.uint64(key)) & np.uint64(mask))
    while table[slot, 1] == now and table[slot, 0] != key:
        slot = (slot + 1) & mask
    return slot


@part
def count_in_account(account, level, code):  # type: ignore[no-untyped-def]
    """How many of the account's logins had a value (u)."""
    slot = _find(account, level, code)
    return account.table[slot, 2] if account.table[slot, 1] == account.numbers[_NOW] else 0


@part
def account_shares(account, codes, i):  # type: ignore[no-untyped-def]
    """The account's part of row `i`: L of the address and of the client, n, and which levels'
    values are new to the account, as a bit mask over `LEVELS`.
    """
    completed = account.numbers[_COMPLETED]
    address, client, new = 0.0, 0.0, 0
    for level in range(7):
        seen = count_in_account(account, level, codes[level, i])
        if seen == 0:
            new |= 1 << level
        elif level < 3:
            address += WEIGHTS[level] * seen / completed
        else:
            client += WEIGHTS[level] * seen / completed
    return address, client, completed, new


@part
def record_account(account, codes, i):  # type: ignore[no-untyped-def]
    """Enter a completed login into its account's counts."""
    table, now = account.table, account.numbers[_NOW]
    for level in range(7):
        slot = _find(account, level, codes[level, i])
        if table[slot, 1] != now:
            table[slot, 0] = np.int64(codes[level, i]) << 3 | level
            table[slot, 1] = now
            table[slot, 2] = 0
        table[slot, 2] += 1
    account.numbers[_COMPLETED] += 1


@part
def feature_ratio(everybody: float, account: float) -> float:
    """G/L of a feature; 4 where nothing of it was seen on the account."""
    return _UNKNOWN_TO_ACCOUNT if account == 0.0 else everybody / account


@part
def score_of(
    global_address: float,
    global_client: float,
    per_account: float,
    account_address: float,
    account_client: float,
    completed: int,
) -> float:
    """The score from its two parts (`global_shares`, `account_shares`); `completed` is above 0.

    >>> score_of(0.1, 0.2, 8.0, 0.5, 0.4, 4)  # 0.1/0.5 * 0.2/0.4 * 8/4
    0.2
    >>> score_of(0.1, 0.2, 8.0, 0.0, 0.4, 4)  # an address of which nothing is known: 4
    4.0
    """
    address = feature_ratio(global_address, account_address)
    client = feature_ratio(global_client, account_client)
    return address * client * per_account / completed


@loop
def score_one(counts: GlobalCounts, account: AccountCounts, codes: Array) -> float:
    """The score of one login, `codes` of shape (levels, 1); its account has a past."""
    everybody_address, everybody_client, per_account = global_shares(counts, codes, 0)
    address, client, completed, _ = account_shares(account, codes, 0)
    return score_of(everybody_address, everybody_client, per_account, address, client, completed)


@loop
def walk_global(
    counts: GlobalCounts,
    codes: Array,
    order: Array,
    new_account: Array,
    shares: Array,
) -> None:
    """The global part of the rows of `order`, each over those before it; `shares` is (3, rows)."""
    for i in order:
        if counts.numbers[LOGINS_SEEN] > 0:
            shares[0, i], shares[1, i], shares[2, i] = global_shares(counts, codes, i)
        record_global(counts, codes, i, new_account[i])


@loop
def read_global(counts: GlobalCounts, codes: Array, shares: Array) -> None:
    """The global part of every row against counts that stay as they are."""
    for i in range(codes.shape[1]):
        shares[0, i], shares[1, i], shares[2, i] = global_shares(counts, codes, i)


@loop
def record_all(counts: GlobalCounts, codes: Array, new_account: Array) -> None:
    """Enter every row into the global counts."""
    for i in range(codes.shape[1]):
        record_global(counts, codes, i, new_account[i])


@loop
def score_accounts(
    account: AccountCounts,
    starts: Array,
    codes: Array,
    shares: Array,
    values: int,
    scores: Array,
    new: Array,
) -> None:
    """Score every row of the accounts between `starts` against its account's rows before it.

    Rows lie account-major. An account's first login keeps what `scores` holds. `new` takes the
    levels whose values the account had not shown, as bits.
    """
    for a in range(len(starts) - 1):
        start_account_counts(account, starts[a + 1] - starts[a], values)
        for i in range(starts[a], starts[a + 1]):
            address, client, completed, fresh = account_shares(account, codes, i)
            new[i] = fresh
            if completed > 0:
                scores[i] = score_of(
                    shares[0, i], shares[1, i], shares[2, i], address, client, completed
                )
            record_account(account, codes, i)
