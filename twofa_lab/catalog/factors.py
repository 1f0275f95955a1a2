"""Facts about channels and factors: what a use costs, how strong and how quick each is.

Sources: the integration guide this project started from (cost ranges, strength, friction), NIST SP
800-63B-4 (class), Google's 2019 study of account challenges (efficacy, see `efficacy.py`). What no
source gives is marked "assumption".
"""

from __future__ import annotations

from dataclasses import dataclass

from twofa_lab.tables import CHANNELS, FACTORS

__all__ = ["CODE_LIFE_SECONDS", "ENTRY_PERCENT", "FACTOR_FACTS", "STRENGTH_ORDER", "FactorFacts"]

CODE_LIFE_SECONDS = 600
"""A code sent out of band dies after ten minutes: NIST SP 800-63B-4 section 3.1.3.2."""


@dataclass(frozen=True)
class FactorFacts:
    """What is known of one way to answer a challenge.

    `cost_usd` is the guide's range for one use; `strength` counts from 1 (weakest).
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


FACTOR_FACTS = (
    FactorFacts("sms_otp", "SMS OTP", "otp", "sms", 1, "Moderate", "Low", (0.01, 0.04),
                "Universal default, low-stakes"),
    FactorFacts("whatsapp_otp", "WhatsApp OTP", "otp", "whatsapp", 2, "Moderate-Strong", "Low",
                (0.005, 0.02), "Mobile-first audiences"),
    FactorFacts("voice_otp", "Voice OTP", "otp", "voice", 1, "Moderate", "Medium", (0.02, 0.05),
                "Accessibility, fallback"),
    FactorFacts("totp", "Authenticator app (TOTP)", "totp", "none", 3, "Strong", "Medium (setup)",
                (0.0, 0.0), "High-assurance, returning users"),
    FactorFacts("push", "Push approval", "push", "none", 4, "Strong", "Low", (0.0, 0.02),
                "App-having users"),
    FactorFacts("passkey", "Passkey (FIDO2)", "passkey", "none", 5, "Strongest",
                "Low (after setup)", (0.0, 0.0), "High-stakes admin actions"),
    FactorFacts("hardware_key", "Hardware key", "hardware_key", "none", 6, "Strongest",
                "High (purchase)", (0.0, 0.0), "Enterprise admin, regulated industries"),
)  # fmt: skip

STRENGTH_ORDER = tuple(
    FACTORS.index(name) for name in ("hardware_key", "passkey", "push", "totp", "otp")
)
"""Factor codes, strongest first: the order in which a challenge offers what is enrolled."""

ENTRY_PERCENT = (0, 100, 100, 50, 60, 80, 150)
"""Time of one act with each factor (by code), in percent of reading and typing a code.
Passkey and others after FIDO's 8.5 s against 31.2 s for a whole sign-in; the rest: assumption."""

if len(ENTRY_PERCENT) != len(FACTORS) or any(f.channel not in CHANNELS for f in FACTOR_FACTS):
    raise AssertionError("the catalogue is out of step with the tables")
