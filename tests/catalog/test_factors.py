from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from xml.etree import ElementTree as ET

import pytest

from twofa_lab.catalog.compliance import compliance_table
from twofa_lab.catalog.factors import (
    CODE_LIFE_SECONDS,
    ENTRY_PERCENT,
    FACTOR_FACTS,
    RECOVERY_FACTS,
    STRENGTH_ORDER,
    factor_table,
    recovery_table,
)
from twofa_lab.sheet import Sheet
from twofa_lab.tables import FACTORS

RFC_8176_SECTION_2 = {
    "face", "fpt", "geo", "hwk", "iris", "kba", "mca", "mfa", "otp", "pin", "pwd", "rba",
    "retina", "sc", "sms", "swk", "tel", "user", "vbm", "wia",
}  # fmt: skip

BY_NAME = {facts.name: facts for facts in FACTOR_FACTS}


def test_the_guide_s_seven_factors_with_its_costs() -> None:
    costs = {name: facts.cost_usd for name, facts in BY_NAME.items()}
    assert costs == {
        "sms_otp": (0.01, 0.04),
        "whatsapp_otp": (0.005, 0.02),
        "voice_otp": (0.02, 0.05),
        "totp": (0.0, 0.0),
        "push": (0.0, 0.02),
        "passkey": (0.0, 0.0),
        "hardware_key": (0.0, 0.0),
    }


def test_nist_restricts_what_travels_over_the_telephone_network_and_nothing_else() -> None:
    restricted = {facts.channel for facts in FACTOR_FACTS if facts.restricted}
    assert restricted == {"sms", "voice"}
    for facts in FACTOR_FACTS:
        assert facts.restricted == ("telephone network" in facts.nist_class)


def test_only_cryptographic_factors_resist_phishing_and_only_a_bound_key_reaches_aal3() -> None:
    for facts in FACTOR_FACTS:
        assert facts.phishing_resistant == ("cryptographic" in facts.nist_class)
    assert {facts.name: facts.aal for facts in FACTOR_FACTS if facts.aal != 2} == {
        "hardware_key": 3
    }


def test_strength_and_the_order_of_offers_agree() -> None:
    order = [FACTORS[code] for code in STRENGTH_ORDER]
    strengths = {facts.factor: facts.strength for facts in FACTOR_FACTS}
    ranked = [strengths[factor] for factor in order]
    assert ranked == sorted(ranked, reverse=True)
    resistant = [BY_NAME[name].strength for name in ("passkey", "hardware_key")]
    assert min(resistant) > max(f.strength for f in FACTOR_FACTS if not f.phishing_resistant)


@pytest.mark.parametrize("facts", [*FACTOR_FACTS, *RECOVERY_FACTS], ids=lambda facts: facts.name)
def test_amr_values_are_registered(facts: object) -> None:
    assert set(facts.amr) <= RFC_8176_SECTION_2  # type: ignore[attr-defined]


def test_e_mail_is_no_second_factor_and_ten_codes_are_not_the_saved_one() -> None:
    levels = {facts.name: (facts.aal, facts.amr) for facts in RECOVERY_FACTS}
    assert levels == {
        "recovery_codes": (2, ("otp",)),
        "saved_recovery_code": (0, ()),
        "email_otp": (0, ()),
    }
    assert "recovery_code" in FACTORS
    assert not any("mail" in facts.name for facts in FACTOR_FACTS)


def test_a_code_lives_ten_minutes_and_every_factor_has_an_entry_time() -> None:
    assert CODE_LIFE_SECONDS == 600
    assert len(ENTRY_PERCENT) == len(FACTORS)


def test_the_tables_show_every_factor_weakest_first() -> None:
    rows = factor_table().rows
    assert [row[0] for row in rows][-2:] == ["Passkey (FIDO2)", "Hardware key"]
    assert len(rows) == len(FACTOR_FACTS)
    assert len(recovery_table().rows) == len(RECOVERY_FACTS)
    assert all(all(cell for cell in row) for row in rows)


@pytest.mark.parametrize("make", [factor_table, recovery_table, compliance_table])
def test_every_table_renders_in_a_notebook_and_on_a_terminal(make: Callable[[], Sheet]) -> None:
    table = make()
    rows = len(table.rows)
    root = ET.fromstring(f"<div>{table._repr_html_()}</div>")  # noqa: S314 - our own text
    assert len(list(root.iter("tr"))) == rows + 1
    assert {cell.get("style") for cell in root.iter("td")} == {"text-align:left"}
    assert len(table.to_pandas()) == rows
    assert len(str(table).splitlines()) == rows + 4 + bool(table.note)


def test_the_catalogue_does_not_load_pandas() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, twofa_lab.catalog.compliance; print('pandas' in sys.modules)",
        ],
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stdout.strip() == "False"
