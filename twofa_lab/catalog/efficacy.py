"""How often a challenge stops an attacker: published figures, by kind of attacker.

Source: Google, "How effective is basic account hygiene at preventing hijacking" (2019): SMS code
blocks 100 / 96 / 76 % of bots / bulk phishing / targeted attacks, on-device prompt 100 / 99 / 90 %,
security key 100 / 100 / 100 %. Voice and WhatsApp codes and TOTP are typed codes like the SMS one
and take its figures: assumption. A SIM swapper owns the number by definition.
"""

from __future__ import annotations

__all__ = ["PASS_SHARE", "WAYS"]

WAYS = ("whatsapp", "sms", "voice", "totp", "push", "passkey", "hardware_key")
"""Ways to answer a challenge, in the bit order of the `po_defeats` column."""

_BOTS = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
_BULK_PHISHING = (0.04, 0.04, 0.04, 0.04, 0.01, 0.0, 0.0)
_TARGETED = (0.24, 0.24, 0.24, 0.24, 0.10, 0.0, 0.0)

PASS_SHARE: dict[str, tuple[float, ...]] = {
    "credential_stuffing": _BOTS,
    "password_spray": _BOTS,
    "brute_force": _BOTS,
    # a relay types the victim's code in real time; the study's nearest column is the targeted one
    "phishing_relay": _TARGETED,
    # the number is the attacker's; re-registering WhatsApp may need a PIN: assumption, half do
    "sim_swap": (0.5, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0),
    # only prompts are bombed; a code still has to be phished in bulk
    "push_bombing": (0.04, 0.04, 0.04, 0.04, 0.10, 0.0, 0.0),
    "targeted": _TARGETED,
    "very_targeted": _TARGETED,
    # an unlocked phone shows every code and prompt; a passkey asks for the owner's finger or PIN:
    # assumption, a fifth were watched typing it
    "stolen_device": (1.0, 1.0, 1.0, 1.0, 1.0, 0.2, 0.0),
}
"""Share of attackers of a kind who get past each way of `WAYS`."""
