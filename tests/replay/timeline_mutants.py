"""Broken rules of one challenge by code: what is sent, what arrives, who waits and types."""

from __future__ import annotations

from typing import Any

from tests.replay.code_oracle import CODE_LIFE_DS, CodeChallenge
from tests.replay.mutants import code_with, person_with, rows_with
from tests.replay.oracle import Oracle
from twofa_lab.tables import NEVER


def ends_at_the_first_time_out(self: CodeChallenge, now: int) -> None:
    self.to_send.clear()
    CodeChallenge.time_out(self, now)


def only_the_latest_message_counts(self: CodeChallenge, now: int, name: str, delay: int) -> None:
    self.diary = [entry for entry in self.diary if entry[1] != self.ARRIVES]
    CodeChallenge.send(self, now, name, delay)


def stops_at_the_first_arrival(self: CodeChallenge, now: int) -> None:
    if self.code is None:
        CodeChallenge.time_out(self, now)


def delivered_is_read(self: CodeChallenge, now: int, name: str, delay: int) -> None:
    before = self.delivered
    CodeChallenge.send(self, now, name, delay)
    self.delivered = before or (self.delivered and self.in_hand(name))


def a_resend_does_not_count(self: CodeChallenge, now: int) -> None:
    before, sent = self.delivered, len(self.sent)
    last = not self.to_send
    CodeChallenge.time_out(self, now)
    if last and len(self.sent) > sent:
        self.delivered = before


def resends_on(last: bool, lost: bool) -> Any:
    """The resend goes out on the last channel, or is lost where the first message was."""

    def time_out(self: CodeChallenge, now: int) -> None:
        if not self.to_send and self.may_resend and self.code is None:
            if last:
                self.sent.insert(0, self.sent[-1])
            if lost and self.row[f"po_{self.sent[0]}_ds"] == NEVER:
                self.row = self.row | {"po_resend_ds": NEVER}
            CodeChallenge.time_out(self, now)
            if last:
                self.sent.pop(0)
        else:
            CodeChallenge.time_out(self, now)

    return time_out


def resends_for_ever(self: CodeChallenge, now: int) -> None:
    again = self.may_resend and not self.to_send and self.code is None
    CodeChallenge.time_out(self, now)
    if again and len(self.sent) < 5:
        self.may_resend = True
        self.note(now + 50, self.TIMES_OUT)


def everybody_gets(channel: str) -> Any:
    return lambda self, name: name == channel or CodeChallenge.usable(self, name)


def ends_with(change: Any) -> Any:
    def end(self: CodeChallenge, outcome: str, now: int) -> dict[str, Any]:
        return change(self, CodeChallenge.end(self, outcome, now))

    return end


def leaves_while_typing(self: CodeChallenge) -> dict[str, Any]:
    told = CodeChallenge.play(self)
    patience = self.row["po_patience_ds"]
    late = told["outcome"] == "verified" and told["seconds_ds"] > patience
    return told | ({"outcome": "abandoned", "seconds_ds": patience} if late else {})


TIMELINE: dict[str, type[Oracle]] = {
    "fallback stops at the first channel": code_with(time_out=ends_at_the_first_time_out),
    "a late first message is thrown away": code_with(send=only_the_latest_message_counts),
    "nothing is sent while a code is typed": code_with(time_out=stops_at_the_first_arrival),
    "nobody asks for a resend": rows_with(po_resends=False),
    "a resend goes out on the last channel": code_with(time_out=resends_on(last=True, lost=False)),
    "a resend is lost with the first message": code_with(
        time_out=resends_on(last=False, lost=True)
    ),
    "resends have no end": code_with(time_out=resends_for_ever),
    "a landline takes text": code_with(usable=everybody_gets("sms")),
    "everybody has WhatsApp": person_with(whatsapp=True),
    "prices are those of nowhere": person_with(country=None),
    "messages after the first are free": code_with(
        end=ends_with(
            lambda code, told: (
                told
                | {
                    "message_microusd": sum(
                        code.oracle.price(code.person, name) for name in code.sent[:1]
                    )
                }
            )
        )
    ),
    "nobody mistypes": rows_with(po_wrong_codes=0),
    "patience has no end": rows_with(po_patience_ds=CODE_LIFE_DS),
    "people leave while typing": code_with(play=leaves_while_typing),
    "a lost message counts as under way": code_with(why_left=lambda _: "abandoned"),
    "a message under way counts as lost": code_with(why_left=lambda _: "undelivered"),
    "a message nobody at hand reads counts as lost": code_with(send=delivered_is_read),
    "a resend under way counts as lost": code_with(time_out=a_resend_does_not_count),
    "attackers are never cut off by the carrier": code_with(
        why_left=lambda code: "abandoned" if code.row["attack"] else CodeChallenge.why_left(code)
    ),
    "who left the phone at home is never cut off by the carrier": code_with(
        why_left=lambda code: (
            CodeChallenge.why_left(code) if code.row["po_phone_at_hand"] else "abandoned"
        )
    ),
    "without a channel the person left": code_with(
        end=ends_with(lambda code, told: told | ({} if code.sent else {"outcome": "abandoned"}))
    ),
    "an expired code was entered once more": code_with(
        end=ends_with(
            lambda _, told: told | {"attempts": told["attempts"] + (told["outcome"] == "expired")}
        )
    ),
}
