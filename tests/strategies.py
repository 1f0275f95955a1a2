"""Hypothesis strategies that more than one test module draws from."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from twofa_lab.risk.policy import Fallback, Limits, Policy
from twofa_lab.risk.rules import RulePoints

CHANNEL_PLANS = st.lists(
    st.sampled_from(["whatsapp", "sms", "voice"]), min_size=1, max_size=3, unique=True
)


def shares(*, exact: bool) -> st.SearchStrategy[float]:
    """Numbers from 0 to 1; `exact`: twentieths, as people write them and sums hit thresholds."""
    return st.integers(0, 20).map(lambda n: n / 20) if exact else st.floats(0.0, 1.0)


@st.composite
def policies(draw: st.DrawFn, *, exact: bool = True) -> Policy:
    """Any policy that can be written down; `exact` keeps points and thresholds to twentieths."""
    share = shares(exact=exact)
    challenge_at = draw(st.none() | share)
    deny_at = draw(st.none() | share)
    if challenge_at is not None and deny_at is not None:
        challenge_at, deny_at = sorted((challenge_at, deny_at))
    tenths = st.integers(50, 3000).map(lambda n: n / 10)
    waits = st.integers(1, 3600).map(float)
    return Policy(
        name=draw(st.text(min_size=1, max_size=80)),
        challenge_at=challenge_at,
        deny_at=deny_at,
        trust_device_days=draw(st.none() | st.sampled_from([0.01, 1.0, 30.0, 365.0])),
        trust_below=draw(share),
        fallback=Fallback(
            channels=tuple(draw(CHANNEL_PLANS)),
            timeout_seconds=draw(st.sampled_from([5.0, 10.0, 30.0, 60.0, 300.0]) | tenths),
        ),
        max_attempts=draw(st.integers(1, 5)),
        allow_weaker_factor=draw(st.booleans()),
        points=draw(st.just(RulePoints()) | points(share)),
        limits=Limits(
            throttle_after=draw(st.integers(1, 100) | st.integers(1, 4)),
            first_wait_seconds=draw(waits),
            longest_wait_seconds=draw(waits | st.just(86_400.0)),
            lock_after=draw(st.integers(1, 100) | st.integers(1, 8)),
        ),
    )


def points(share: st.SearchStrategy[float]) -> st.SearchStrategy[RulePoints]:
    """Points for every signal."""
    names = RulePoints.__dataclass_fields__
    return st.builds(RulePoints, **dict.fromkeys(names, share))


def cells(pools: dict[str, tuple[Any, ...]]) -> st.SearchStrategy[dict[str, Any]]:
    """One row, each column from its pool, as often as not from the pool's first value."""
    return st.fixed_dictionaries(
        {
            name: st.sampled_from(list(dict.fromkeys((pool[0], *pool))))
            for name, pool in pools.items()
        }
    )
