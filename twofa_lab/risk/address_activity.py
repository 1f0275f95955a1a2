"""What an address has been up to across all accounts: columns, computed once for a world.

They hang on attempts alone, on who tried which account from where and with the right password or
not, and no policy changes that. So they are not state of the closed loop but columns beside the
logins, good for every policy that is replayed on them. Together with `ip_listed`, the public block
list, they are an address's reputation.

- `ip_accounts`: distinct accounts tried from the address in the window up to and with this attempt;
- `ip_failures`: wrong passwords from it, of any account, in the window *before* this attempt (an
  attempt's own password is not known yet when it is scored).

The window is the last hour, its start left out. Attempts of one millisecond are all in it for
`ip_accounts` and none for `ip_failures`, so that the order of rows, and with it the division of a
world into shards, plays no part. A missing address (0) has neither.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from twofa_lab.compiled import loop
from twofa_lab.tables import Array

__all__ = ["WINDOW_MS", "AddressActivity", "address_activity"]

WINDOW_MS = 3_600_000


class AddressActivity(NamedTuple):
    """One int32 entry an attempt, in the order they were given."""

    ip_accounts: Array
    ip_failures: Array


def address_activity(
    ip: Array, user_id: Array, time: Array, password_ok: Array, window_ms: int = WINDOW_MS
) -> AddressActivity:
    """The columns for all attempts of a world (every shard's, joined), in any order.

    >>> found = address_activity(
    ...     ip=np.array([5, 5, 5, 0], np.uint64), user_id=np.array([1, 2, 1, 3]),
    ...     time=np.array([0, 10, 3_600_000, 20]), password_ok=np.array([False, False, True, True]))
    >>> found.ip_accounts.tolist(), found.ip_failures.tolist()
    ([1, 2, 2, 0], [0, 1, 1, 0])
    """
    import pandas as pd

    rows = len(ip)
    found = AddressActivity(np.zeros(rows, np.int32), np.zeros(rows, np.int32))
    address = pd.factorize(ip)[0].astype(np.int64)
    account = pd.factorize(user_id)[0].astype(np.int64)
    pair, pairs = pd.factorize(address * (int(account.max(initial=0)) + 1) + account)
    order = np.lexsort((time, address))
    held = np.zeros(len(pairs), np.int32)
    _walk(order, address, pair, time, password_ok, window_ms, held, *found)
    found.ip_accounts[ip == 0] = 0
    found.ip_failures[ip == 0] = 0
    return found


@loop
def _walk(
    order: Array,
    address: Array,
    pair: Array,
    time: Array,
    password_ok: Array,
    window_ms: int,
    held: Array,
    accounts: Array,
    failures: Array,
) -> None:
    """A window over each address's attempts by time; `held` counts those of each pair of address
    and account inside it.
    """
    first, at, rows, distinct, wrong = 0, 0, len(order), 0, 0
    while at < rows:
        place, now = address[order[at]], time[order[at]]
        while first < at and (
            address[order[first]] != place or time[order[first]] <= now - window_ms
        ):
            gone = order[first]
            held[pair[gone]] -= 1
            distinct -= held[pair[gone]] == 0
            wrong -= not password_ok[gone]
            first += 1
        end = at
        while end < rows and address[order[end]] == place and time[order[end]] == now:
            distinct += held[pair[order[end]]] == 0
            held[pair[order[end]]] += 1
            end += 1
        for k in range(at, end):
            accounts[order[k]] = distinct
            failures[order[k]] = wrong
        for k in range(at, end):
            wrong += not password_ok[order[k]]
        at = end
