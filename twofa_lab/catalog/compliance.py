"""What US rules ask of a second factor: the guide's table, with what it leaves out.

NIST SP 800-63B-4 was read in the original; the other rules in summaries by assessors and law firms
up to mid-2026, so check a clause before leaning on it. This is orientation for engineers, no legal
advice. Most of these rules bind access by *staff* to systems; few say anything of customers.
"""

from __future__ import annotations

from dataclasses import dataclass

from twofa_lab.sheet import Sheet

__all__ = ["COMPLIANCE_FACTS", "ComplianceFacts", "compliance_table"]


@dataclass(frozen=True)
class ComplianceFacts:
    """One rule: what the guide says of it, whose logins it covers, what it asks, and what of SMS.

    `mandatory` is whether the rule in force names multi-factor authentication as a duty;
    `sms_accepted` whether a code by SMS can serve where it does.
    """

    name: str
    title: str
    guide_says: str
    covers: str
    asks: str
    mandatory: bool
    sms_accepted: bool
    caveat: str
    sources: tuple[str, ...]


COMPLIANCE_FACTS = (
    ComplianceFacts(
        name="pci_dss",
        title="PCI DSS 4.0.1",
        guide_says="MFA for all access to cardholder data environments; SMS OTP qualifies.",
        covers="Staff and third parties entering the cardholder data environment.",
        asks="MFA for all non-console access to the environment (8.4.2, due since 31 March 2025), "
        "for administrators (8.4.1) and for remote access (8.4.3); the system must resist replay, "
        "cannot be bypassed, and needs all of at least two kinds of factor (8.5.1).",
        mandatory=True,
        sms_accepted=True,
        caveat="SMS is not barred by name, but an assessor may ask about SIM swaps, and NIST calls "
        "it restricted. An account signed in by phishing-resistant means alone is outside 8.4.2, "
        "not outside 8.4.1 and 8.4.3. Shoppers' accounts are not covered.",
        sources=(
            "PCI DSS v4.0.1, requirements 8.4.1 to 8.4.3 and 8.5.1",
            "PCI SSC FAQ 1595 and 1596 (passkeys)",
        ),
    ),
    ComplianceFacts(
        name="hipaa",
        title="HIPAA Security Rule",
        guide_says="Person or entity authentication, read broadly to include MFA.",
        covers="Whoever seeks access to electronic health information.",
        asks="Procedures to verify that a person is who they claim to be. The rule in force does "
        "not name MFA.",
        mandatory=False,
        sms_accepted=True,
        caveat="A proposal of January 2025 would make MFA a duty; in what was read it was not "
        "final. Until then MFA follows from the risk analysis, not from the letter.",
        sources=("45 CFR 164.312(d)", "90 FR 898 (6 January 2025), proposed rule"),
    ),
    ComplianceFacts(
        name="nist_800_171",
        title="NIST SP 800-171 / CMMC level 2",
        guide_says="MFA for contractor systems that handle controlled unclassified information.",
        covers="Users of a federal contractor's systems with such information.",
        asks="MFA for local and network access to privileged accounts and network access to all "
        "others (3.5.3, IA.L2-3.5.3); replay-resistant mechanisms (3.5.4, IA.L2-3.5.4).",
        mandatory=True,
        sms_accepted=True,
        caveat="CMMC assesses revision 2, which NIST itself replaced by revision 3 (03.05.03 and "
        "03.05.04) in May 2024. A one-time code by SMS is a second factor and resists replay, but "
        "is restricted under SP 800-63B-4: offer another, tell the risk, plan the way out (3.2.9).",
        sources=(
            "NIST SP 800-171 rev. 2, 3.5.3 and 3.5.4; rev. 3, 03.05.03 and 03.05.04",
            "32 CFR 170 (CMMC)",
            "NIST SP 800-63B-4, 3.1.3.3 and 3.2.9",
        ),
    ),
    ComplianceFacts(
        name="state_laws",
        title="State privacy and security laws",
        guide_says="CCPA/CPRA, NY SHIELD and others count MFA among reasonable security measures.",
        covers="Holders of residents' personal data; New York's 23 NYCRR 500: financial firms.",
        asks="Reasonable security; MFA is not named (CCPA, SHIELD). California's audits, in force "
        "since January 2026 for larger businesses, look at MFA, phishing-resistant for staff. New "
        "York's financial regulator has asked for MFA for any individual using any information "
        "system since 1 November 2025 (500.12).",
        mandatory=False,
        sms_accepted=True,
        caveat="For firms under 23 NYCRR 500 MFA is a duty, and the regulator's letter of December "
        "2021 names text messages as a weak spot.",
        sources=(
            "Cal. Civ. Code 1798.100(e), 1798.150; 11 CCR 7120 to 7124",
            "N.Y. Gen. Bus. Law 899-bb",
            "23 NYCRR 500.12; NYDFS industry letter of 7 December 2021",
        ),
    ),
    ComplianceFacts(
        name="insurers",
        title="Cyber insurers",
        guide_says="MFA is increasingly a prerequisite for cover and earns a discount.",
        covers="The insured's staff: e-mail, remote and privileged access, backups.",
        asks="An attestation in the application that MFA is in place where the form says.",
        mandatory=True,
        sms_accepted=True,
        caveat="A contract, no law, and each carrier's form differs. A wrong attestation can cost "
        "the cover: Travelers had a policy rescinded over one in August 2022. Of the discount no "
        "published figure was found.",
        sources=("Travelers v. International Control Services, No. 22-cv-2145 (C.D. Ill. 2022)",),
    ),
)


def compliance_table() -> Sheet:
    """The rules as a table.

    >>> [row[0] for row in compliance_table().rows][:2]
    ['PCI DSS 4.0.1', 'HIPAA Security Rule']
    """
    rows = tuple(
        (
            facts.title,
            facts.guide_says,
            facts.covers,
            facts.asks,
            "yes" if facts.mandatory else "no",
            "yes, with the caveat" if facts.sms_accepted else "no",
            facts.caveat,
            "; ".join(facts.sources),
        )
        for facts in COMPLIANCE_FACTS
    )
    columns = (
        "Rule", "The guide says", "Covers", "Asks", "Names MFA as a duty", "SMS code accepted",
        "Caveat", "Sources",
    )  # fmt: skip
    note = (
        "NIST SP 800-63B-4 was read in the original, the other rules in summaries up to mid-2026. "
        "Orientation, no legal advice."
    )
    return Sheet("What US rules ask of a second factor", columns, rows, note, prose=True)
