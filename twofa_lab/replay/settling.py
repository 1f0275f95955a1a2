"""Simulated people become accounts of the real flow, with what they have enrolled in their hands.

They are brought over as an operator brings over accounts: who holds what was drawn with the world.
"""

from __future__ import annotations

from twofa_lab.factors import passkeys, totp
from twofa_lab.factors.passkeys import Kind, PasskeyRecord
from twofa_lab.factors.ports import RandomBytes
from twofa_lab.factors.soft_authenticator import SoftAuthenticator
from twofa_lab.flow.finish import enter_history, utc_offset_min
from twofa_lab.flow.importing import Import, import_accounts
from twofa_lab.flow.login import Request
from twofa_lab.flow.origin import origin_of
from twofa_lab.flow.password_reset import set_new_password
from twofa_lab.flow.pending import Pending
from twofa_lab.flow.service import Flow
from twofa_lab.replay.enrolled import Identities, Identity
from twofa_lab.risk.signals import local_hour
from twofa_lab.store.engine import write
from twofa_lab.tables import FACTORS, LINE_TYPES, Array

__all__ = ["Settler"]


class Settler:
    """Brings a world's people into a flow. `words` are the world's vocabularies."""

    def __init__(
        self,
        flow: Flow,
        identities: Identities,
        words: dict[str, tuple[str, ...]],
        random_bytes: RandomBytes,
    ) -> None:
        self._flow, self._identities, self._words = flow, identities, words
        self._random_bytes = random_bytes

    def settle(self, people: dict[str, Array], row: int) -> Identity:
        """Open the account of one row of the people table, with all its factors."""
        flow = self._flow
        who = self._identities.next(
            int(people["user_id"][row]),
            self._word("country", people, row),
            LINE_TYPES[int(people["line_type"][row])],
            whatsapp=bool(people["whatsapp"][row]),
        )
        who.home_zone = self._word("time_zone", people, row) or "UTC"
        mask = int(people["factors"][row])
        has = {name for bit, name in enumerate(FACTORS) if mask >> bit & 1}
        if "totp" in has:
            who.totp = totp.new_secret(self._random_bytes)
        if "push" in has:
            who.push = self._random_bytes(32)
        keys = []
        if "passkey" in has:
            who.passkey = SoftAuthenticator(synced=True, random_bytes=self._random_bytes)
            keys.append(self._register(who, who.passkey, "passkey"))
        if "hardware_key" in has:
            who.hardware_key = SoftAuthenticator(random_bytes=self._random_bytes)
            keys.append(self._register(who, who.hardware_key, "hardware_key"))
        account = Import(
            who.user_id,
            who.name,
            flow.passwords.hash(who.password),
            created=min(int(people["created"][row]), flow.clock()),
            phone=who.number.e164,
            home_zone=who.home_zone,
            email=who.email,
            line_type=who.line_type,
            whatsapp=who.whatsapp,
            otp="otp" in has,
            totp=who.totp,
            push=who.push,
            keys=tuple(keys),
        )
        import_accounts(flow, [account])
        return who

    def sign_up(self, who: Identity, request: Request) -> None:
        """A row of sign-up: the first completed login of an account that is there already."""
        flow, now = self._flow, self._flow.clock()
        hour = int(local_hour(now, utc_offset_min(who.home_zone, now)))
        pending = Pending(
            now, request.device, request.country, request.region, hour, origin=origin_of(request)
        )
        with write(flow.engine) as c:
            enter_history(c, who.user_id, pending)

    def reset(self, who: Identity) -> None:
        """The person forgot the password and has a new one."""
        who.password = self._random_bytes(8).hex()
        set_new_password(self._flow, who.user_id, who.password)

    def _word(self, column: str, people: dict[str, Array], row: int) -> str:
        code = int(people[column][row])
        return self._words[column][code] if code >= 0 else ""

    def _register(self, who: Identity, held: SoftAuthenticator, kind: Kind) -> PasskeyRecord:
        """A key made by its device, and proved to the server."""
        rp = self._flow.relying_party
        handle = passkeys.user_handle(self._flow.keyring, who.user_id)
        ceremony = passkeys.registration(
            rp,
            user_handle=handle,
            user_name=who.name,
            kind=kind,
            random_bytes=self._random_bytes,
        )
        made = held.register(ceremony.options, rp.origins[0])
        return passkeys.verify_registration(
            rp, ceremony.challenge, made, user_handle=handle, kind=kind
        )
