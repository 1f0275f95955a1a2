"""Facts about channels and factors: what a use costs, how strong and how quick each is.

Sources: the integration guide this project started from (cost ranges, strength, friction, best
for), NIST SP 800-63B-4 (class, restriction, assurance level, phishing resistance), RFC 8176 (`amr`
values), Google's 2019 study of account challenges (efficacy, see `efficacy.py`). What no source
gives is marked "assumption".
"""

from __future__ import annotations

from dataclasses import dataclass

from twofa_lab.sheet import Sheet
from twofa_lab.tables import CHANNELS, FACTORS

__all__ = [
    "CODE_LIFE_SECONDS",
    "ENTRY_PERCENT",
    "FACTOR_FACTS",
    "MAX_CLOCK_STEP_MS",
    "RECOVERY_FACTS",
    "STRENGTH_ORDER",
    "TOTP_STEP_SECONDS",
    "FactorFacts",
    "RecoveryFacts",
    "factor_table",
    "recovery_table",
]

CODE_LIFE_SECONDS = 600
"""A code sent out of band dies after ten minutes: NIST SP 800-63B-4 section 3.1.3.2."""

TOTP_STEP_SECONDS = 30
"""How long an authenticator app shows one code: RFC 6238 section 5.2's default."""

MAX_CLOCK_STEP_MS = 90_000
"""How far a clock may step back, or two servers' clocks differ, before what was issued "in the
future" is refused: assumption, three TOTP steps. Without the limit a clock set back an hour would
lengthen every life by an hour."""


@dataclass(frozen=True)
class FactorFacts:
    """What is known of one way to answer a challenge.

    `cost_usd` is the guide's range for one use; `strength` counts from 1 (weakest). `aal` is the
    highest assurance level within reach of a password and this factor; `restricted` is NIST's
    class for authenticators that need an alternative, a warning and a way out (§3.2.9); `amr` are
    the values a session earns beside `pwd` and `mfa`.
    """

    name: str
    title: str
    factor: str
    channel: str
    strength: int
    strength_word: str
    friction: str
    cost_usd: tuple[float, float]
    best_for: str
    nist_class: str
    restricted: bool
    aal: int
    phishing_resistant: bool
    amr: tuple[str, ...]
    caveat: str


@dataclass(frozen=True)
class RecoveryFacts:
    """What is known of a way back in; `aal` 0 means that it authenticates nobody by itself."""

    name: str
    title: str
    nist_class: str
    aal: int
    amr: tuple[str, ...]
    caveat: str


FACTOR_FACTS = (
    FactorFacts(
        "sms_otp", "SMS OTP", "otp", "sms", 1, "Moderate", "Low", (0.01, 0.04),
        "Universal default, low-stakes",
        "Out-of-band device over the telephone network (3.1.3.3)",
        restricted=True, aal=2, phishing_resistant=False, amr=("otp", "sms", "mca"),
        caveat="Read by whoever swaps the SIM or ports the number; consider both before sending.",
    ),
    FactorFacts(
        "whatsapp_otp", "WhatsApp OTP", "otp", "whatsapp", 2, "Moderate-Strong", "Low",
        (0.005, 0.02), "Mobile-first audiences",
        "Out-of-band device, encrypted instant messaging (3.1.3.1)",
        restricted=False, aal=2, phishing_resistant=False, amr=("otp", "mca"),
        caveat="Not restricted by the letter; but the account moves to a new phone by SMS unless "
        "its owner set a PIN, so a swapped SIM still reaches it.",
    ),
    FactorFacts(
        "voice_otp", "Voice OTP", "otp", "voice", 1, "Moderate", "Medium", (0.02, 0.05),
        "Accessibility, fallback",
        "Out-of-band device over the telephone network (3.1.3.3)",
        restricted=True, aal=2, phishing_resistant=False, amr=("otp", "tel", "mca"),
        caveat="As SMS; and call forwarding or a voice mailbox may take the call.",
    ),
    FactorFacts(
        "totp", "Authenticator app (TOTP)", "totp", "none", 3, "Strong", "Medium (setup)",
        (0.0, 0.0), "High-assurance, returning users",
        "Single-factor OTP (3.1.4)",
        restricted=False, aal=2, phishing_resistant=False, amr=("otp",),
        caveat="Can be typed into a phishing page; both sides hold the same secret.",
    ),
    FactorFacts(
        "push", "Push approval", "push", "none", 4, "Strong", "Low", (0.0, 0.02),
        "App-having users",
        "Out-of-band device, secret from the primary channel (3.1.3)",
        restricted=False, aal=2, phishing_resistant=False, amr=("mca", "user"),
        caveat="Only with number matching: a bare approval is no longer acceptable. A relay can "
        "still show its victim the number.",
    ),
    FactorFacts(
        "passkey", "Passkey (FIDO2)", "passkey", "none", 5, "Strongest", "Low (after setup)",
        (0.0, 0.0), "High-stakes admin actions",
        "Multi-factor cryptographic, syncable (3.1.7, B)",
        restricted=False, aal=2, phishing_resistant=True, amr=("swk", "user"),
        caveat="A synced key can be exported, so AAL3 is out of reach; it is as safe as the sync "
        "account. Without user verification it is a single factor.",
    ),
    FactorFacts(
        "hardware_key", "Hardware key", "hardware_key", "none", 6, "Strongest", "High (purchase)",
        (0.0, 0.0), "Enterprise admin, regulated industries",
        "Multi-factor cryptographic, key not exportable (3.1.7)",
        restricted=False, aal=3, phishing_resistant=True, amr=("hwk", "user"),
        caveat="AAL3 also needs proof that the key cannot leave the device; without attestation "
        "nothing beyond AAL2 is shown. Without a PIN it is a single factor (3.1.6).",
    ),
)  # fmt: skip

RECOVERY_FACTS = (
    RecoveryFacts(
        "recovery_codes",
        "Ten recovery codes",
        "Look-up secret (3.1.2)",
        2,
        ("otp",),
        "Stand in for a lost factor at sign-in, each once; can be typed into a phishing page.",
    ),
    RecoveryFacts(
        "saved_recovery_code",
        "Saved recovery code",
        "Saved recovery code (4.2.1.1)",
        0,
        (),
        "Starts account recovery; at AAL2 a second proof must join it (4.2.2.2).",
    ),
    RecoveryFacts(
        "email_otp",
        "E-mail code",
        "Issued recovery code (4.2.1.2); barred as a factor (3.1.3.1)",
        0,
        (),
        "Validates an address and takes part in recovery; never a second factor.",
    ),
)

STRENGTH_ORDER = tuple(
    FACTORS.index(name) for name in ("hardware_key", "passkey", "push", "totp", "otp")
)
"""Factor codes, strongest first: the order in which a challenge offers what is enrolled."""

ENTRY_PERCENT = (0, 100, 100, 50, 60, 80, 150)
"""Time of one act with each factor (by code), in percent of reading and typing a code.
Passkey and others after FIDO's 8.5 s against 31.2 s for a whole sign-in; the rest: assumption."""

if len(ENTRY_PERCENT) != len(FACTORS) or any(f.channel not in CHANNELS for f in FACTOR_FACTS):
    raise AssertionError("the catalogue is out of step with the tables")


def factor_table() -> Sheet:
    """The factors with cost, strength and class, strongest last.

    >>> factor_table().rows[0][:3]
    ('SMS OTP', 'Moderate', 'Low')
    """
    rows = tuple(
        (
            facts.title,
            facts.strength_word,
            facts.friction,
            _dollars(facts.cost_usd),
            facts.best_for,
            facts.nist_class,
            "restricted" if facts.restricted else "no",
            f"AAL{facts.aal}",
            "yes" if facts.phishing_resistant else "no",
            " ".join(facts.amr),
            facts.caveat,
        )
        for facts in sorted(FACTOR_FACTS, key=lambda facts: facts.strength)
    )
    columns = (
        "Factor", "Strength", "Friction", "US$ a use", "Best for", "NIST SP 800-63B-4 class",
        "Restricted", "Reaches", "Phishing-resistant", "amr", "Caveat",
    )  # fmt: skip
    note = (
        "Strength, friction, cost and best use: the integration guide (a hardware key costs its "
        "purchase, not its use). Class and level: NIST SP 800-63B-4, beside a password. amr: "
        "RFC 8176, beside pwd and mfa; it has no value for a messenger or a push."
    )
    return Sheet("Second factors", columns, rows, note, prose=True)


def recovery_table() -> Sheet:
    """The ways back in, and what each may do."""
    rows = tuple(
        (facts.title, facts.nist_class, f"AAL{facts.aal}" if facts.aal else "none", facts.caveat)
        for facts in RECOVERY_FACTS
    )
    columns = ("Way", "NIST SP 800-63B-4 class", "Reaches", "Caveat")
    return Sheet("Ways back in", columns, rows, prose=True)


def _dollars(cost_usd: tuple[float, float]) -> str:
    low, high = cost_usd
    return f"{low:g} to {high:g}" if high else "0"
