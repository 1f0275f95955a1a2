"""Which country and which network an address belongs to, by table and without asking anybody.

An address is one `uint64`: an IPv4 address as its number (below 2**32), an IPv6 address as its
upper 64 bits, that is its /64 prefix, the part a provider hands out. The two never meet: all of
`::/32`, whose upper bits would look like IPv4, is reserved (RFC 4291), and the few forms of it
that do occur stand for IPv4 (`::ffff:192.0.2.1`, `::192.0.2.1`) or for the host itself (`::1`).
"""

from __future__ import annotations

import bisect
import functools
import importlib.metadata
import ipaddress
import itertools
import re
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from twofa_lab.errors import InputError

__all__ = [
    "FIRST_PACKAGED_ASN",
    "AddressTable",
    "format_ip",
    "mmdb_addresses",
    "packaged_addresses",
    "parse_ips",
]

FIRST_PACKAGED_ASN = 4_200_000_000
"""The packaged table names networks but does not number them. Its networks are numbered from here,
the range RFC 6996 sets aside for private use, so none is ever mistaken for a real AS number."""

_IPV4_END = 2**32
_ALL_64 = np.uint64(2**64 - 1)
_ALL_32 = np.uint64(2**32 - 1)
_RESERVED_COUNTRIES = 16  # geoip2fast: country ids below this name reserved and private ranges
_RESERVED = -2  # country value of a block nobody can come from
_PACKAGED_FILE = "geoip2fast-asn-ipv6.dat.gz"

UInts = npt.NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class AddressTable:
    """Blocks of addresses, sorted and apart, each of one country and one network.

    `start` and `end` (inclusive) are numbers as the module explains; `country` indexes
    `countries` (ISO 3166 alpha-2), -1 where unknown; `asn` is 0 where unknown; `names` gives a
    network's name by its number; `source` credit_lines the data and dates it.

    >>> table = AddressTable(
    ...     start=np.array([0x08080800], np.uint64), end=np.array([0x080808FF], np.uint64),
    ...     country=np.array([0], np.int16), asn=np.array([15169], np.uint32),
    ...     countries=("US",), names={15169: "GOOGLE"}, source="by hand")
    >>> [column.tolist() for column in table.lookup(parse_ips(["8.8.8.8", "9.9.9.9"])[0])]
    [[0, -1], [15169, 0]]
    """

    start: UInts
    end: UInts
    country: npt.NDArray[np.int16]
    asn: npt.NDArray[np.uint32]
    countries: tuple[str, ...]
    names: dict[int, str]
    source: str

    def __len__(self) -> int:
        return len(self.start)

    def __repr__(self) -> str:
        return f"AddressTable({len(self):,} blocks, {len(self.names):,} networks; {self.source})"

    def lookup(self, ip: UInts) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint32]]:
        """Country index (-1 unknown) and network number (0 unknown) of each address."""
        ip = np.asarray(ip, np.uint64)
        if not len(self):
            return np.full(ip.shape, -1, np.int16), np.zeros(ip.shape, np.uint32)
        block, known = _find(self.start, self.end, ip)
        return (
            np.where(known, self.country[block], np.int16(-1)),
            np.where(known, self.asn[block], np.uint32(0)),
        )


@functools.cache
def packaged_addresses() -> AddressTable:
    """The table that comes with geoip2fast: GeoLite2 countries and networks, IPv4 and IPv6.

    Needs no network and no account. Network numbers are private ones, see `FIRST_PACKAGED_ASN`;
    for real AS numbers and newer data give `mmdb_addresses` your own files. Reserved and private
    ranges are left out.
    """
    import geoip2fast.geoip2fast as packaged

    reader = packaged.GeoIP2Fast(geoip2fast_data_file=_PACKAGED_FILE, verbose=False)
    codes = list(packaged.geoipCountryNamesDict)
    # `names[0]` stands for "unknown", which is 0 here as in every other table
    names: list[str] = packaged.mainListNamesASN

    country_id = _flat(packaged.mainListIDCountryCodes, np.int64)
    network_id = _flat(packaged.mainListIDASN, np.int64)
    countries = _layer(
        list(itertools.chain.from_iterable(packaged.mainListFirstIP)),
        _flat(packaged.mainListNetlength, np.uint64),
        np.where(country_id < _RESERVED_COUNTRIES, _RESERVED, country_id - _RESERVED_COUNTRIES),
    )
    networks = _layer(
        list(itertools.chain.from_iterable(packaged.mainListFirstIPASN)),
        _flat(packaged.mainListNetlengthASN, np.uint64),
        np.where(network_id > 0, FIRST_PACKAGED_ASN + network_id, 0),
    )
    info = str(reader.source_info)
    date = re.search(r"(\d{4})(\d\d)(\d\d)$", info)
    return _merge(
        countries,
        networks,
        tuple(codes[_RESERVED_COUNTRIES:]),
        {FIRST_PACKAGED_ASN + index: name for index, name in enumerate(names) if index},
        "GeoLite2 data created by MaxMind (www.maxmind.com)"
        + (f" of {'-'.join(date.groups())}" if date else "")
        + f", packaged by geoip2fast {importlib.metadata.version('geoip2fast')}",
    )


def mmdb_addresses(*paths: str | Path) -> AddressTable:
    """The table in one or two MaxMind DB files: countries (GeoLite2-Country or -City) and networks
    (GeoLite2-ASN), in any order; a single file may give only one of the two.

    Raises `InputError` for a file that is not there, is damaged, or holds neither.
    """
    countries: dict[str, int] = {}
    names: dict[int, str] = {}
    country_rows: list[tuple[int, int, int]] = []
    network_rows: list[tuple[int, int, int]] = []
    credit_lines = []
    for path in paths:
        before = len(country_rows) + len(network_rows)
        credit_lines.append(_read_mmdb(Path(path), countries, names, country_rows, network_rows))
        if len(country_rows) + len(network_rows) == before:
            raise InputError(
                f"{path}: no record holds country.iso_code or autonomous_system_number; "
                "give a GeoLite2-Country, -City or -ASN file or one of that form"
            )
    layers = _layer_of_rows(country_rows), _layer_of_rows(network_rows)
    if not any(len(layer.start) for layer in layers):
        raise InputError(f"{paths[0]}: holds no network that is in use")
    return _merge(
        *layers,
        tuple(countries),
        names,
        "; ".join(credit_lines),
    )


def _read_mmdb(
    path: Path,
    countries: dict[str, int],
    names: dict[int, str],
    country_rows: list[tuple[int, int, int]],
    network_rows: list[tuple[int, int, int]],
) -> str:
    """Append one file's rows (first address, prefix length, value); return its credit line."""
    import maxminddb

    if path.exists() and not path.is_file():
        raise InputError(f"{path}: is no file")
    try:
        with maxminddb.open_database(str(path)) as reader:
            if not _is_tree(path, reader.metadata()):
                raise ValueError
            for network, record in reader:
                if not isinstance(record, dict):
                    continue
                first = int(network.network_address)
                place: Any = record.get("country") or record.get("registered_country") or {}
                if code := place.get("iso_code"):
                    value = countries.setdefault(str(code), len(countries))
                    country_rows.append((first, network.prefixlen, value))
                if number := record.get("autonomous_system_number"):
                    names[int(number)] = str(record.get("autonomous_system_organization", ""))
                    network_rows.append((first, network.prefixlen, int(number)))
            built = datetime.fromtimestamp(reader.metadata().build_epoch, UTC)
            return f"{reader.metadata().database_type} ({path.name}) of {built:%Y-%m-%d}"
    except OSError as error:
        raise InputError(f"{path}: cannot be opened: {error.strerror or error}") from error
    except (maxminddb.InvalidDatabaseError, ValueError, AttributeError, TypeError) as error:
        raise InputError(f"{path}: not a whole MaxMind DB file") from error


def _is_tree(path: Path, meta: Any) -> bool:
    """Whether a database's search tree can be walked to its end: one that shares its branches has
    more networks than there are atoms. Real ones share the IPv4 branch alone, a few times.
    """
    width, count = meta.record_size // 4, meta.node_count
    raw = np.fromfile(path, np.uint8, width * count)
    if width not in (6, 7, 8) or len(raw) < width * count:
        return False
    each: list[npt.NDArray[Any]] = [column.astype(np.uint32) for column in raw.reshape(-1, width).T]
    half = width // 2
    left, right = each[:half], each[-half:]
    if width == 7:  # 28 bits: the middle byte holds the upper four of both
        left, right = [each[3] >> 4, *left], [each[3] & 15, *right]
    records = np.stack([sum(b << (8 * i) for i, b in enumerate(s[::-1])) for s in (left, right)])
    frontier, walked = np.zeros(1, np.int64), 0
    for _ in range(128 if meta.ip_version == 6 else 32):
        below = records[:, frontier].ravel()
        frontier = below[below < count].astype(np.int64)
        walked += len(frontier)
        if not len(frontier) or walked > 8 * count:
            break
    return not len(frontier)


def parse_ips(texts: Sequence[str] | pa.Array) -> tuple[UInts, npt.NDArray[np.bool_]]:
    """Addresses as numbers and whether each text was an address (its number is 0 where not).

    Each distinct text is parsed once, so millions of texts with few distinct ones are quick.

    >>> numbers, valid = parse_ips(["1.2.3.4", "::ffff:1.2.3.4", "2001:db8::7", "1.2.3", ""])
    >>> [hex(number) for number in numbers.tolist()]
    ['0x1020304', '0x1020304', '0x20010db800000000', '0x0', '0x0']
    >>> valid.tolist()
    [True, True, True, False, False]
    """
    array = texts if isinstance(texts, pa.Array) else pa.array(texts, pa.string())
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    numbers, valid = _parse_all(array.dictionary.to_pylist())
    # one more entry at the end, where the code of a missing text (-1) points
    numbers, valid = np.append(numbers, np.uint64(0)), np.append(valid, False)
    code = array.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return numbers[code], valid[code]


def format_ip(value: int) -> str:
    """The text of an address; an IPv6 one is written as the /64 network it stands for.

    >>> format_ip(0x01020304), format_ip(0x20010DB800000000)
    ('1.2.3.4', '2001:db8::/64')
    """
    value = int(value)
    if value < _IPV4_END:
        return str(ipaddress.IPv4Address(value))
    return f"{ipaddress.IPv6Address(value << 64)}/64"


def _parse_all(texts: list[str | None]) -> tuple[UInts, npt.NDArray[np.bool_]]:
    pton, family = socket.inet_pton, socket.AF_INET
    try:  # all of them plain IPv4, the rule: four times as fast as one by one
        packed = b"".join([pton(family, text or "") for text in texts])
        return np.frombuffer(packed, ">u4").astype(np.uint64), np.ones(len(texts), np.bool_)
    except (OSError, ValueError):
        parsed = [_parse(text) if text else None for text in texts]
        valid = np.array([number is not None for number in parsed], np.bool_)
        return np.array([number or 0 for number in parsed], np.uint64), valid


def _parse(text: str) -> int | None:
    try:
        return int.from_bytes(socket.inet_pton(socket.AF_INET, text), "big")
    except (OSError, ValueError):
        pass  # not IPv4 in plain form
    try:
        address = int(ipaddress.IPv6Address(text.removesuffix("/64")))
    except ValueError:
        return None
    upper, lower = divmod(address, 2**64)
    if upper >= _IPV4_END:
        return upper
    if address == 1:
        return int(ipaddress.IPv4Address("127.0.0.1"))
    # ::a.b.c.d and ::ffff:a.b.c.d are IPv4; nothing else of ::/32 is in use
    return lower % _IPV4_END if upper == 0 and lower // _IPV4_END in {0, 0xFFFF} else None


def _flat(chunks: Iterable[list[int]], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    return np.fromiter(itertools.chain.from_iterable(chunks), dtype)


@dataclass(frozen=True, eq=False)
class _Layer:
    """Blocks with one number each, sorted by start: a country index or a network number."""

    start: UInts
    end: UInts
    value: npt.NDArray[np.int64]


def _layer(
    first: list[int], prefix: npt.NDArray[np.uint64], value: npt.NDArray[np.int64]
) -> _Layer:
    """Blocks from first addresses (up to 2**128) and prefix lengths, sorted by address.

    Blocks smaller than a /64 collapse; the first of those that share a /64 stands for it.
    """
    ipv4 = bisect.bisect_left(first, _IPV4_END)
    v6 = np.arange(len(first)) >= ipv4
    start = np.concatenate(
        [
            np.array(first[:ipv4], np.uint64),
            np.fromiter((number >> 64 for number in first[ipv4:]), np.uint64),
        ]
    )
    end = start + np.where(v6, _ALL_64 >> prefix, _ALL_32 >> prefix)
    keep = ~v6 | (start >= _IPV4_END)
    keep[1:] &= start[1:] != start[:-1]
    return _Layer(start[keep], end[keep], value[keep])


def _layer_of_rows(rows: list[tuple[int, int, int]]) -> _Layer:
    rows = sorted(rows)
    return _layer(
        [row[0] for row in rows],
        np.array([row[1] for row in rows], np.uint64),
        np.array([row[2] for row in rows], np.int64),
    )


def _merge(
    countries: _Layer,
    networks: _Layer,
    codes: tuple[str, ...],
    names: dict[int, str],
    source: str,
) -> AddressTable:
    """Cut both layers at every boundary of either; keep the pieces known to one, not reserved."""
    one = np.uint64(1)
    layers = (countries, networks)
    start = np.concatenate([a for layer in layers for a in (layer.start, layer.end + one)])
    start.sort()  # np.unique hashes, which takes six times as long here
    start = start[np.append(True, start[1:] != start[:-1])]
    end = np.append(start[1:] - one, _ALL_64)
    country = _values(countries, start, -1)
    asn = _values(networks, start, 0)
    keep = (country >= 0) | ((asn > 0) & (country != _RESERVED))
    return AddressTable(
        start[keep],
        end[keep],
        country[keep].astype(np.int16),
        asn[keep].astype(np.uint32),
        codes,
        names,
        source,
    )


def _values(layer: _Layer, ip: UInts, missing: int) -> npt.NDArray[np.int64]:
    if not len(layer.start):
        return np.full(len(ip), missing, np.int64)
    block, known = _find(layer.start, layer.end, ip)
    return np.where(known, layer.value[block], missing)


def _find(start: UInts, end: UInts, ip: UInts) -> tuple[npt.NDArray[np.intp], npt.NDArray[Any]]:
    block = np.searchsorted(start, ip, side="right") - 1
    known = (block >= 0) & (ip <= end[block])
    return block, known
