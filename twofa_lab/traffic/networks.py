"""Where people connect from: pools of real address blocks by country and kind of network.

Blocks, countries and network names are the address table's. The kind of a network is told by its
*name* (a word such as "hosting" or "wireless"), which is a heuristic, not a fact about the network.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import numpy as np

from twofa_lab.tables import Array
from twofa_lab.traffic.addresses import AddressTable, mmdb_addresses, packaged_addresses
from twofa_lab.traffic.geography import geography

__all__ = ["HOSTING", "ISP", "KINDS", "MOBILE", "ORGANISATION", "Networks", "networks"]

KINDS = ("isp", "mobile", "hosting", "organisation")
ISP, MOBILE, HOSTING, ORGANISATION = range(4)

_UNUSED = "dnic"  # military space, held but hardly seen on the public internet
_SMALLEST_POOL = 65_536  # addresses; a pool below this is a name that fooled the words
_WORDS = (
    (HOSTING, r"host|cloud|server|\bvps\b|data ?cent|colo\b|amazon|google|microsoft|azure|\bovh|"
              r"hetzner|digitalocean|oracle|linode|alibaba|tencent|leaseweb|m247|choopa|akamai"),
    (MOBILE, r"mobil|cellular|wireless|cellco|\bgsm\b|\bgprs\b|\blte\b"),
    (ORGANISATION, r"universit|college|school|academ|institut|research|ministry|minister|govern|"
                   r"department|county|state of|city of|hospital|health|bank|insur|motor|"
                   r"mercedes|apple|\bibm\b|hewlett"),
)  # fmt: skip


@dataclass(frozen=True)
class Networks:
    """Address blocks sorted by pool; pool `country * 4 + kind` is `first[p] : first[p + 1]`.

    `start` and `size` are IPv4 numbers, `cum` the running number of addresses, `pool_of` the pool
    that serves a country and kind (another kind, then the whole world's ISPs, where it has none).
    """

    start: Array
    size: Array
    asn: Array
    country: Array
    kind: Array
    cum: Array
    first: Array
    pool_of: Array
    credit: str

    def draw_blocks(self, country: Array, kind: Array | int, uniform: Array) -> Array:
        """A block for each given country and kind, by its number of addresses."""
        pool = self.pool_of[country, kind]
        edges = np.concatenate(([0.0], self.cum))
        low, high = edges[self.first[pool]], edges[self.first[pool + 1]]
        at = np.searchsorted(self.cum, low + uniform.astype(np.float64) * (high - low), "right")
        return np.minimum(at, self.first[pool + 1] - 1).astype(np.int32)


@cache
def networks(mmdb: tuple[str, ...] = ()) -> Networks:
    """Pools over the packaged address table, or over the user's own MMDB files (country, network);
    built once a process, in about two seconds.
    """
    return build_networks(mmdb_addresses(*mmdb) if mmdb else packaged_addresses())


def build_networks(table: AddressTable) -> Networks:
    """Pools over any address table, such as one read from the user's own MMDB files."""
    codes = {code: index for index, code in enumerate(geography().countries)}
    to_ours = np.array([codes.get(code, -1) for code in (*table.countries, "")])
    country = to_ours[table.country]
    unused = {number for number, name in table.names.items() if _UNUSED in name.lower()}
    usable = (table.start < 2**32) & (country >= 0) & (table.asn > 0)
    usable &= ~np.isin(table.asn, list(unused))
    asn = table.asn[usable]
    kind = _kinds(asn, table.names)
    pool = country[usable] * len(KINDS) + kind
    start = table.start[usable]
    size = table.end[usable] - start + np.uint64(1)
    order = np.lexsort((start, pool))
    first = np.searchsorted(pool[order], np.arange(len(codes) * len(KINDS) + 1)).astype(np.int64)
    return Networks(
        start=start[order].astype(np.uint64),
        size=size[order].astype(np.uint64),
        asn=asn[order],
        country=country[usable][order].astype(np.int16),
        kind=kind[order],
        cum=np.cumsum(size[order].astype(np.float64)),
        first=first,
        pool_of=_fall_back(first, size[order], len(codes)),
        credit=table.source,
    )


def _kinds(asn: Array, names: dict[int, str]) -> Array:
    """The kind of each block's network, by the words in its name."""
    numbers, inverse = np.unique(asn, return_inverse=True)
    kinds = np.zeros(len(numbers), np.int8)
    for index, number in enumerate(numbers.tolist()):
        name = names.get(number, "").lower()
        kinds[index] = next((kind for kind, words in _WORDS if re.search(words, name)), ISP)
    found: Array = kinds[inverse]
    return found


def _fall_back(first: Array, size: Array, countries: int) -> Array:
    """The pool for each (country, kind): its own, its country's ISPs, or the largest ISPs."""
    edges = np.concatenate(([0], np.cumsum(size.astype(np.int64))))
    addresses = np.diff(edges[first]).reshape(countries, len(KINDS))
    pools = np.arange(countries * len(KINDS)).reshape(countries, len(KINDS))
    largest = pools[np.argmax(addresses[:, ISP]), ISP]
    isp = np.where(addresses[:, ISP] > 0, pools[:, ISP], largest)
    chosen: Array = np.where(addresses >= _SMALLEST_POOL, pools, isp[:, None])
    return chosen
