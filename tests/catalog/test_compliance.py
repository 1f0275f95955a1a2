from __future__ import annotations

from twofa_lab.catalog.compliance import COMPLIANCE_FACTS, compliance_table
from twofa_lab.catalog.factors import FACTOR_FACTS


def test_the_guide_s_five_rows_each_with_a_source_and_a_caveat() -> None:
    names = [facts.name for facts in COMPLIANCE_FACTS]
    assert names == ["pci_dss", "hipaa", "nist_800_171", "state_laws", "insurers"]
    for facts in COMPLIANCE_FACTS:
        assert facts.sources
        assert len(facts.caveat) > 40
        assert facts.guide_says


def test_no_rule_is_said_to_name_mfa_that_does_not() -> None:
    named = {facts.name for facts in COMPLIANCE_FACTS if facts.mandatory}
    assert named == {"pci_dss", "nist_800_171", "insurers"}


def test_where_sms_is_accepted_its_restriction_is_told() -> None:
    by_name = {facts.name: facts for facts in COMPLIANCE_FACTS}
    restricted = {facts.name for facts in FACTOR_FACTS if facts.restricted}
    assert "sms_otp" in restricted
    for name in ("pci_dss", "nist_800_171"):
        assert by_name[name].sms_accepted
        assert "restricted" in by_name[name].caveat


def test_the_table_says_that_it_is_no_legal_advice() -> None:
    table = compliance_table()
    assert len(table.rows) == 5
    assert "no legal advice" in table.note
