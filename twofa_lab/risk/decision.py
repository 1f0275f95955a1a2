"""From score to decision: the one function that replay and flow share."""

from __future__ import annotations

from twofa_lab.compiled import part
from twofa_lab.tables import DECISIONS

__all__ = ["ALLOW", "CHALLENGE", "DENY", "decide", "wait_after"]

ALLOW, CHALLENGE, DENY = range(len(DECISIONS))


@part
def decide(
    score: float, challenge_at: float, deny_at: float, trusted: bool, trust_below: float
) -> int:
    """Allow, challenge or deny. A trusted device lifts a challenge only while the score stays
    below `trust_below`: trust never outranks a high score. Infinity means never.

    >>> decide(0.5, 0.45, float("inf"), False, 0.6), decide(0.5, 0.45, float("inf"), True, 0.6)
    (1, 0)
    >>> decide(0.7, 0.45, float("inf"), True, 0.6), decide(0.97, 0.45, 0.95, True, 0.6)
    (1, 2)
    """
    if score >= deny_at:
        return DENY
    if score >= challenge_at and not (trusted and score < trust_below):
        return CHALLENGE
    return ALLOW


@part
def wait_after(failures: int, throttle_after: int, first_wait_ms: int, longest_wait_ms: int) -> int:
    """Milliseconds an account waits after that many consecutive failures: doubling, capped.

    >>> [wait_after(n, 10, 30_000, 3_600_000) // 1000 for n in (9, 10, 11, 30)]
    [0, 30, 60, 3600]
    """
    over = failures - throttle_after
    if over < 0:
        return 0
    return min(first_wait_ms << min(over, 20), longest_wait_ms)
