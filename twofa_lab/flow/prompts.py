"""Progressive enrolment: when to offer a second factor, and which.

The guide: do not require a factor at sign-up; verify the phone, and encourage enrolment over days
30 to 90, the easiest factor first (codes to the phone that is verified already), then a stronger
one as a "level up" (authenticator app, passkey). How often to ask, how a "no" is taken and when to
leave somebody in peace has no source: assumptions, in `PromptRules`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from twofa_lab.errors import InputError
from twofa_lab.flow.binding import StepUpNeededError
from twofa_lab.flow.offers import STRONGEST_FIRST
from twofa_lab.flow.service import DAY, Flow
from twofa_lab.flow.sessions import check
from twofa_lab.store import accounts
from twofa_lab.store.authenticators import authenticators_of
from twofa_lab.store.engine import write

__all__ = ["Prompt", "PromptFacts", "PromptRules", "decline_prompt", "next_prompt", "show_prompt"]

_TEXTS = {
    "otp": "Confirm risky sign-ins with a code to your phone: nothing to set up.",
    "totp": "Level up: an authenticator app works without reception and is not read by others.",
    "passkey": "Level up: a passkey signs you in with a finger, and no page can phish it.",
}


@dataclass(frozen=True)
class PromptRules:
    """Days since sign-up between which a first factor is offered (the guide), the order of the
    offers, and, assumptions: days between two prompts, doubled by each "no" up to `longest_days`,
    and the "no" after which nobody asks again.
    """

    first_day: float = 30
    last_day: float = 90
    ladder: tuple[str, ...] = ("otp", "totp", "passkey")
    every_days: float = 7
    longest_days: float = 180
    enough_declined: int = 5

    def __post_init__(self) -> None:
        if not 0 <= self.first_day <= self.last_day:
            raise InputError("the days of prompting run from first_day to last_day")
        if not 0 < self.every_days <= self.longest_days:
            raise InputError("prompts are at least every_days and at most longest_days apart")
        if unknown := set(self.ladder) - set(_TEXTS):
            raise InputError(f"nobody is offered {min(unknown)!r}; name some of {list(_TEXTS)}")

    def wait_ms(self, declined: int) -> int:
        """How long after a prompt the next one may come.

        >>> [PromptRules().wait_ms(declined) // DAY for declined in (0, 1, 2, 10)]
        [7, 14, 28, 180]
        """
        days = min(self.every_days * 2.0 ** min(declined, 64), self.longest_days)
        return round(days * DAY)


@dataclass(frozen=True, slots=True)
class PromptFacts:
    """What is known of an account: when it was made and prompted last (ms UTC), how often its owner
    said no, and whether it has a verified number.
    """

    created: int
    prompted_at: int | None = None
    declined: int = 0
    has_phone: bool = True


@dataclass(frozen=True, slots=True)
class Prompt:
    """An offer to enrol `factor`; `level_up` when the account has a second factor already."""

    factor: str
    level_up: bool
    text: str


def next_prompt(
    facts: PromptFacts, enrolled: Collection[str], now: int, rules: PromptRules | None = None
) -> Prompt | None:
    """What to offer the owner of an account with these usable kinds of factor, if anything.

    The first factor is offered on days `first_day` to `last_day`, both included; a level-up from
    `first_day` on without end, as long as there is something stronger on the ladder.

    >>> day = lambda n: n * DAY
    >>> next_prompt(PromptFacts(0), (), day(29)) is None, next_prompt(PromptFacts(0), (), day(91))
    (True, None)
    >>> next_prompt(PromptFacts(0), (), day(30)).factor
    'otp'
    >>> next_prompt(PromptFacts(0, prompted_at=day(30), declined=1), (), day(43)) is None
    True
    >>> next_prompt(PromptFacts(0, prompted_at=day(30)), ("otp",), day(200)).factor
    'totp'
    """
    rules = rules or PromptRules()
    age = now - facts.created
    if age < rules.first_day * DAY or facts.declined >= rules.enough_declined:
        return None
    if not enrolled and age > rules.last_day * DAY:
        return None
    asked = facts.prompted_at
    if asked is not None and now - asked < rules.wait_ms(facts.declined):
        return None
    # the strongest first: what stands before the strongest enrolled is a step up
    best = min((STRONGEST_FIRST.index(kind) for kind in enrolled), default=len(STRONGEST_FIRST))
    for factor in rules.ladder:
        stronger = STRONGEST_FIRST.index(factor) < best
        if stronger and (factor != "otp" or facts.has_phone):
            return Prompt(factor, bool(enrolled), _TEXTS[factor])
    return None


def show_prompt(flow: Flow, session: str, rules: PromptRules | None = None) -> Prompt | None:
    """What to offer the person of a running session now, noted as shown; None as a rule."""
    state = check(flow, session)
    if state is None:
        return None
    with write(flow.engine) as c:
        now = flow.clock()
        account = accounts.lock_account(c, state.user_id)
        if account is None or account.status != "active":
            return None
        facts = PromptFacts(
            account.created,
            account.prompted_at,
            account.prompts_declined,
            account.phone is not None,
        )
        enrolled = {one.kind for one in authenticators_of(c, state.user_id) if one.usable}
        prompt = next_prompt(facts, enrolled, now, rules)
        if prompt is not None:
            accounts.record_prompt(c, state.user_id, now, declined=False)
    return prompt


def decline_prompt(flow: Flow, session: str) -> None:
    """The person said no to the offer shown: the next one takes longer to come."""
    state = check(flow, session)
    if state is None:
        raise StepUpNeededError("the session has ended; sign in again", 0)
    with write(flow.engine) as c:
        accounts.record_prompt(c, state.user_id, flow.clock(), declined=True)
