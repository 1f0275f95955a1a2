"""A Freeman score taken apart: what each feature, level and the account itself contributes.

The score is a product, so its logarithm is a sum, exactly: a term for the address, one for the
client, one for how much the account is used, and the attack term where it is on. A feature's own
levels are weighted shares inside that term; each is shown with both shares and their log ratio.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from twofa_lab.risk.freeman import (
    ACCOUNTS,
    FEATURES,
    LEVELS,
    LOGINS_SEEN,
    WEIGHTS,
    AccountCounts,
    GlobalCounts,
    account_shares,
    count_in_account,
    count_of,
    feature_ratio,
    global_shares,
    score_one,
)
from twofa_lab.risk.told import as_html, as_text
from twofa_lab.tables import Array

__all__ = ["FeatureTerm", "FreemanExplanation", "LevelTerm", "explain_login"]


@dataclass(frozen=True)
class LevelTerm:
    """One level: the value, how many of everybody's and of the account's logins had it, and the
    logarithm of the first share over the second (None where either count is 0).
    """

    level: str
    value: Any
    weight: float
    everybody: int
    account: int
    log_ratio: float | None


@dataclass(frozen=True)
class FeatureTerm:
    """One feature: the factor it puts on the score, that factor's logarithm, and its levels."""

    feature: str
    ratio: float
    log_ratio: float
    levels: tuple[LevelTerm, ...]


@dataclass(frozen=True)
class FreemanExplanation:
    """Why a login got its score; renders itself. `contributions` are logarithms and add up to the
    score's; `reasons` say the same in words, what raised the score most coming first.
    """

    score: float
    logins: int
    accounts: int
    completed: int
    features: tuple[FeatureTerm, ...]
    contributions: dict[str, float]
    reasons: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return as_text(self._summary(), self.reasons)

    def _repr_html_(self) -> str:
        return as_html(self._summary(), self.reasons)

    def _summary(self) -> str:
        return f"score {self.score:.4g} (above 1: less like this account than like others)"


def explain_login(
    counts: GlobalCounts,
    account: AccountCounts,
    codes: Array,
    login: Mapping[str, Any],
    attack: float | None = None,
) -> FreemanExplanation:
    """Take the score of one login apart: `codes` is its column, (levels, 1); `attack` the factor
    p(attack | address), or None where that term is off.
    """
    *everybody, per_account = global_shares(counts, codes, 0)
    *own, completed, _ = account_shares(account, codes, 0)
    logins = int(counts.numbers[LOGINS_SEEN])
    features = []
    for at, (feature, names) in enumerate(FEATURES.items()):
        ratio = float(feature_ratio(everybody[at], own[at]))
        levels = tuple(_level(counts, account, codes, login, n, completed) for n in names)
        features.append(FeatureTerm(feature, ratio, math.log(ratio), levels))
    factors = {term.feature: term.ratio for term in features}
    factors["account"] = float(per_account / completed)
    if attack is not None:
        factors["attack"] = attack
    words = {term.feature: _words(term, logins, completed) for term in features}
    words["account"] = (
        f"the account has {completed:,} logins before this one, the average one {per_account:,.1f}"
    )
    words["attack"] = "the address is on the block list or not"
    order = sorted(factors, key=lambda name: -factors[name])
    return FreemanExplanation(
        score=float(score_one(counts, account, codes)) * (1.0 if attack is None else attack),
        logins=logins,
        accounts=int(counts.numbers[ACCOUNTS]),
        completed=int(completed),
        features=tuple(features),
        contributions={name: math.log(factor) for name, factor in factors.items()},
        reasons=tuple(
            f"{name} x{factors[name]:.3g} ({math.log(factors[name]):+.2f}): {words[name]}"
            for name in order
        ),
    )


def _level(
    counts: GlobalCounts,
    account: AccountCounts,
    codes: Array,
    login: Mapping[str, Any],
    name: str,
    completed: int,
) -> LevelTerm:
    level = LEVELS.index(name)
    everybody = int(count_of(counts, level, codes[level, 0]))
    own = int(count_in_account(account, level, codes[level, 0]))
    ratio = None
    if everybody and own:
        share = everybody / int(counts.numbers[LOGINS_SEEN])
        ratio = math.log(share / (own / completed))
    return LevelTerm(name, login[name], float(WEIGHTS[level]), everybody, own, ratio)


def _words(term: FeatureTerm, logins: int, completed: int) -> str:
    told = [
        f"{level.level} in {level.account:,} of its {completed:,} logins and "
        f"{level.everybody:,} of everybody's {logins:,}"
        for level in term.levels
    ]
    known = any(level.account for level in term.levels)
    return ("" if known else "nothing of it seen on the account; ") + "; ".join(told)
