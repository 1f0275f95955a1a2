import ipaddress
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofa_lab import simulate
from twofa_lab.errors import InputError
from twofa_lab.traffic.addresses import (
    FIRST_PACKAGED_ASN,
    AddressTable,
    format_ip,
    mmdb_addresses,
    packaged_addresses,
    parse_ips,
)


def looked_up(table: AddressTable, *texts: str) -> list[tuple[str | None, int]]:
    country, asn = table.lookup(parse_ips(list(texts))[0])
    return [
        (table.countries[c] if c >= 0 else None, int(a)) for c, a in zip(country, asn, strict=True)
    ]


# --- addresses as numbers


@given(st.lists(st.ip_addresses(v=4)))
def test_ipv4_addresses_survive_the_round_trip(addresses):
    numbers, valid = parse_ips([str(address) for address in addresses])
    assert valid.all()
    assert numbers.tolist() == [int(address) for address in addresses]
    assert [format_ip(number) for number in numbers] == [str(a) for a in addresses]


@given(st.ip_addresses(v=6, network="2000::/3"))
def test_an_ipv6_address_is_its_64_bit_network(address):
    numbers, valid = parse_ips([str(address), address.exploded])
    assert valid.all()
    assert numbers.tolist() == [int(address) >> 64] * 2
    network = ipaddress.IPv6Network(format_ip(numbers[0]))
    assert address in network
    assert network.prefixlen == 64
    assert parse_ips([format_ip(numbers[0])])[0][0] == numbers[0]


@given(st.ip_addresses(v=4))
def test_ipv4_within_ipv6_is_the_ipv4_address(address):
    forms = [f"::ffff:{address}", f"::{address}"]
    if int(address) < 2:
        return  # `::` and `::1` have a meaning of their own
    assert parse_ips(forms)[0].tolist() == [int(address)] * 2


@given(st.text(max_size=30))
def test_any_text_is_either_an_address_or_invalid(text):
    numbers, valid = parse_ips([text])
    assert valid[0] or numbers[0] == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "1.2.3",
        "1.2.3.4.5",
        "256.1.1.1",
        "01.2.3.4",
        "1.2.3.4 ",
        "host",
        "::2:0:0:0:1",
        "1",
    ],
)
def test_what_is_no_address_is_invalid(text):
    numbers, valid = parse_ips([text, "9.9.9.9"])
    assert valid.tolist() == [False, True]
    assert numbers.tolist() == [0, 0x09090909]


def test_loopback_zones_nulls_and_dictionaries():
    column = pa.array(["::1", None, "fe80::1%eth0", "1.1.1.1", "1.1.1.1"])
    for texts in (column, column.dictionary_encode()):
        numbers, valid = parse_ips(texts)
        assert numbers.tolist() == [0x7F000001, 0, 0xFE80 << 48, 0x01010101, 0x01010101]
        assert valid.tolist() == [True, False, True, True, True]
    assert parse_ips([])[0].tolist() == []


# --- tables


def test_a_table_knows_its_blocks_to_the_edge():
    table = AddressTable(
        start=np.array([10, 20], np.uint64),
        end=np.array([11, 29], np.uint64),
        country=np.array([0, -1], np.int16),
        asn=np.array([0, 7], np.uint32),
        countries=("NO",),
        names={7: "SEVEN"},
        source="made up",
    )
    country, asn = table.lookup(np.array([9, 10, 11, 12, 20, 29, 30], np.uint64))
    assert country.tolist() == [-1, 0, 0, -1, -1, -1, -1]
    assert asn.tolist() == [0, 0, 0, 0, 7, 7, 0]
    assert country.dtype == np.int16
    assert asn.dtype == np.uint32
    assert "2 blocks" in repr(table)


def test_the_packaged_table_is_sorted_and_apart():
    table = packaged_addresses()
    assert len(table) > 1_000_000
    assert (table.start <= table.end).all()
    assert (table.end[:-1] < table.start[1:]).all()
    assert table.country.min() == -1
    assert table.country.max() < len(table.countries)
    assert {"US", "NO", "BR"} <= set(table.countries)
    assert ((table.country >= 0) | (table.asn > 0)).all()
    known = table.asn[table.asn > 0]
    assert known.min() > FIRST_PACKAGED_ASN
    assert set(np.unique(known).tolist()) <= table.names.keys()
    assert "MaxMind" in table.source
    assert "2024-" in table.source


def test_reserved_addresses_belong_to_nobody():
    reserved = ["10.1.2.3", "127.0.0.1", "192.168.1.1", "100.64.0.1", "224.0.0.1", "::1", "fd00::1"]
    assert looked_up(packaged_addresses(), *reserved) == [(None, 0)] * len(reserved)


def test_the_packaged_table_agrees_with_its_own_reader():
    import geoip2fast.geoip2fast as packaged

    reader = packaged.GeoIP2Fast(geoip2fast_data_file="geoip2fast-asn-ipv6.dat.gz", verbose=False)
    table = packaged_addresses()
    draw = np.random.default_rng(7)
    ipv6 = table.start[table.start >= 2**32]
    texts = [str(ipaddress.IPv4Address(int(n))) for n in draw.integers(0, 2**32, 600)]
    texts += [format_ip(n).removesuffix("/64") for n in draw.choice(ipv6, 300)]
    named = 0
    for text, (country, asn) in zip(texts, looked_up(table, *texts), strict=True):
        theirs = reader.lookup(text)
        if theirs.is_private:
            assert (country, asn) == (None, 0)
            continue
        assert (country or "--") == theirs.country_code, text
        # their reader forgets where an IPv4 network ends, so it only counts within its own block
        inside = theirs.asn_cidr and ipaddress.ip_address(text) in ipaddress.ip_network(
            theirs.asn_cidr
        )
        assert table.names.get(asn, "") == (theirs.asn_name if inside else ""), text
        named += bool(inside)
    assert named > 300


# --- MaxMind DB files, written by hand: https://maxmind.github.io/MaxMind-DB/


def encoded(value: object) -> bytes:
    """A value of the data section."""
    if isinstance(value, dict):
        return bytes([0xE0 | len(value)]) + b"".join(
            encoded(key) + encoded(item) for key, item in value.items()
        )
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        size = [0x40 | len(value)] if len(value) < 29 else [0x40 | 29, len(value) - 29]
        return bytes(size) + value.encode()
    if isinstance(value, list):
        return bytes([len(value), 11 - 7]) + b"".join(map(encoded, value))
    assert isinstance(value, int)
    return bytes([0xC4]) + struct.pack(">I", value)  # uint32


def uint16(value: int) -> bytes:
    return bytes([0xA2]) + struct.pack(">H", value)


def write_mmdb(path: Path, kind: str, networks: dict[str, object]) -> Path:
    """A database of these networks, IPv6 with IPv4 in `::/96`, records of 24 bits."""
    nodes: list[list[int | None]] = [[None, None]]
    data = b""
    leaves: dict[tuple[int, int], int] = {}
    for text, record in networks.items():
        network = ipaddress.ip_network(text)
        length = network.prefixlen + (96 if network.version == 4 else 0)
        bits = f"{int(network.network_address):0128b}"[:length]
        node = 0
        for bit in map(int, bits[:-1]):
            if nodes[node][bit] is None:
                nodes.append([None, None])
                nodes[node][bit] = len(nodes) - 1
            node = nodes[node][bit]
        leaves[node, int(bits[-1])] = len(data)
        data += encoded(record)
    tree = b""
    for number, children in enumerate(nodes):
        for bit, child in enumerate(children):
            record = len(nodes) if child is None else child
            if (number, bit) in leaves:
                record = len(nodes) + 16 + leaves[number, bit]
            tree += struct.pack(">I", record)[1:]
    meta = {
        "node_count": len(nodes),
        "record_size": uint16(24),
        "ip_version": uint16(6),
        "database_type": kind,
        "languages": ["en"],
        "binary_format_major_version": uint16(2),
        "binary_format_minor_version": uint16(0),
        "build_epoch": bytes([8, 9 - 7]) + struct.pack(">Q", 1_700_000_000),
        "description": {"en": "made up"},
    }
    path.write_bytes(tree + bytes(16) + data + b"\xab\xcd\xefMaxMind.com" + encoded(meta))
    return path


COUNTRIES = {
    "1.2.0.0/16": {"country": {"iso_code": "NO"}},
    "1.3.0.0/24": {"registered_country": {"iso_code": "US"}},
    "2001:db8::/32": {"country": {"iso_code": "NO"}, "city": {}},
}
NETWORKS = {
    "1.2.3.0/24": {
        "autonomous_system_number": 64500,
        "autonomous_system_organization": "Example",
    },
    "2001:db8:0:7::/64": {"autonomous_system_number": 64501},
    "2001:db8:0:8::/72": {"autonomous_system_number": 64502},
}


def test_two_files_are_merged(tmp_path):
    countries = write_mmdb(tmp_path / "c.mmdb", "Test-Country", COUNTRIES)
    networks = write_mmdb(tmp_path / "a.mmdb", "Test-ASN", NETWORKS)
    for paths in ((countries, networks), (networks, countries)):
        table = mmdb_addresses(*paths)
        assert looked_up(
            table,
            *("1.2.2.255", "1.2.3.0", "1.2.3.255", "1.2.4.0", "1.3.0.1", "1.3.1.0"),
            *("2001:db8::1", "2001:db8:0:7::9", "2001:db8:0:8::9", "2001:db9::"),
        ) == [
            *(("NO", 0), ("NO", 64500), ("NO", 64500), ("NO", 0), ("US", 0), (None, 0)),
            *(("NO", 0), ("NO", 64501), ("NO", 64502), (None, 0)),
        ]
        assert table.names == {64500: "Example", 64501: "", 64502: ""}
        assert "Test-Country (c.mmdb) of 2023-11-14" in table.source


def test_one_file_gives_one_half(tmp_path):
    table = mmdb_addresses(write_mmdb(tmp_path / "a.mmdb", "Test-ASN", NETWORKS))
    assert looked_up(table, "1.2.3.4", "1.2.4.4") == [(None, 64500), (None, 0)]
    table = mmdb_addresses(write_mmdb(tmp_path / "c.mmdb", "Test-City", COUNTRIES))
    assert looked_up(table, "1.2.3.4") == [("NO", 0)]


def test_bad_mmdb_files_are_refused_in_one_line(tmp_path):
    whole = write_mmdb(tmp_path / "c.mmdb", "Test-Country", COUNTRIES).read_bytes()
    cut = tmp_path / "cut.mmdb"
    cut.write_bytes(whole[: len(whole) // 2])
    hollow = tmp_path / "hollow.mmdb"
    hollow.write_bytes(whole[200:])  # metadata without its tree
    other = write_mmdb(tmp_path / "o.mmdb", "Test-Other", {"1.2.0.0/16": {"isp": "Example"}})
    for path, message in (
        (tmp_path / "none.mmdb", "cannot be opened"),
        (cut, "not a whole MaxMind DB file"),
        (hollow, "not a whole MaxMind DB file"),
        (other, "neither|no record holds"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            mmdb_addresses(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_world_takes_its_addresses_from_the_users_own_mmdb_files(tmp_path):
    countries = {"81.0.0.0/16": {"country": {"iso_code": "US"}}}
    owners = {
        "81.0.0.0/16": {
            "autonomous_system_number": 64500,
            "autonomous_system_organization": "Only Net",
        }
    }
    paths = [
        write_mmdb(tmp_path / "c.mmdb", "Test-Country", countries),
        write_mmdb(tmp_path / "a.mmdb", "Test-ASN", owners),
    ]
    world = simulate("us-consumer", users=30, days=14, seed=3, mmdb=paths)
    logins = world.logins()
    assert set(logins["asn"]) == {64500}
    assert set(logins["ip"] // 65536) == {81 << 8}
    assert world.facts.fingerprint != simulate("us-consumer", 30, 14, 3).facts.fingerprint
