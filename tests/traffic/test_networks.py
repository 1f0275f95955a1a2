import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofa_lab.traffic.addresses import AddressTable, packaged_addresses
from twofa_lab.traffic.geography import geography
from twofa_lab.traffic.networks import (
    HOSTING,
    ISP,
    KINDS,
    MOBILE,
    ORGANISATION,
    build_networks,
    networks,
)


def table(*blocks: tuple[str, int, str]) -> AddressTable:
    """Blocks of a country, size and network name, one after another."""
    sizes = np.array([size for _, size, _ in blocks], np.uint64)
    start = np.uint64(2**24) + np.concatenate(([0], np.cumsum(sizes)[:-1])).astype(np.uint64)
    countries = tuple(dict.fromkeys(code for code, _, _ in blocks))
    return AddressTable(
        start=start,
        end=start + sizes - np.uint64(1),
        country=np.array([countries.index(code) for code, _, _ in blocks], np.int16),
        asn=np.arange(1, len(blocks) + 1, dtype=np.uint32),
        countries=countries,
        names={index + 1: name for index, (_, _, name) in enumerate(blocks)},
        source="by hand",
    )


NORWAY = geography().country_index("NO")
BRAZIL = geography().country_index("BR")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("TELENOR-NEXTEL", ISP),
        ("Telenor Mobil AS", MOBILE),
        ("T-Mobile USA", MOBILE),
        ("Amazon.com, Inc.", HOSTING),
        ("OVH SAS", HOSTING),
        ("University of Oslo", ORGANISATION),
        ("DNB Bank ASA", ORGANISATION),
        ("Cloudy Hospital", HOSTING),  # the first word that fits decides
    ],
)
def test_a_networks_kind_is_told_by_the_words_in_its_name(name, kind):
    assert build_networks(table(("NO", 100_000, name))).kind.tolist() == [kind]


def test_a_country_without_a_kind_is_served_by_its_isps_and_without_any_by_the_largest():
    nets = build_networks(
        table(("NO", 70_000, "Telenor"), ("NO", 70_000, "Telenor Mobil"), ("NO", 100, "Oslo Bank"),
              ("US", 500_000, "Comcast"))
    )  # fmt: skip
    isps = NORWAY * len(KINDS) + ISP
    assert nets.pool_of[NORWAY, MOBILE] == NORWAY * len(KINDS) + MOBILE
    assert nets.pool_of[NORWAY, HOSTING] == isps
    assert nets.pool_of[NORWAY, ORGANISATION] == isps  # a hundred addresses are a chance name
    assert nets.pool_of[BRAZIL, ISP] == geography().country_index("US") * len(KINDS) + ISP


def test_military_space_unknown_countries_and_networks_without_a_number_are_left_out():
    blocks = table(("US", 2**20, "DNIC-AS"), ("XX", 1000, "Nowhere"), ("US", 2**20, "Comcast"))
    nets = build_networks(blocks)
    assert nets.asn.tolist() == [3]


def test_blocks_are_drawn_by_their_addresses():
    nets = build_networks(table(("NO", 300_000, "A"), ("NO", 100_000, "B"), ("US", 9, "C")))
    uniform = (np.arange(4000) + 0.5) / 4000
    drawn = nets.draw_blocks(np.full(4000, NORWAY), ISP, uniform)
    assert np.bincount(nets.asn[drawn], minlength=4).tolist() == [0, 3000, 1000, 0]


@given(
    st.lists(
        st.tuples(
            st.integers(0, len(geography().countries) - 1),
            st.sampled_from([ISP, MOBILE, HOSTING, ORGANISATION]),
            st.floats(0.0, 1.0, exclude_max=True, width=32),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_every_country_and_kind_has_a_block_of_its_own_or_its_stand_in(wanted):
    nets = networks()
    country, kind, uniform = (np.array(column) for column in zip(*wanted, strict=True))
    drawn = nets.draw_blocks(country, kind, uniform)
    pool = nets.pool_of[country, kind]
    assert (nets.first[pool] <= drawn).all()
    assert (drawn < nets.first[pool + 1]).all()


def test_the_pools_are_the_address_tables_own_blocks():
    nets = networks()
    some = np.random.default_rng(1).integers(0, len(nets.start), 500)
    country, asn = packaged_addresses().lookup(nets.start[some])
    codes = packaged_addresses().countries
    ours = [geography().countries[c] for c in nets.country[some]]
    assert [codes[c] for c in country] == ours
    np.testing.assert_array_equal(asn, nets.asn[some])
