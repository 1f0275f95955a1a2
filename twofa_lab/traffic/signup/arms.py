"""An arm of a sign-up experiment: which factor people are asked for, when and how.

An arm is a value: compare it, write it as YAML, load it again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from twofa_lab.errors import InputError, WorkError
from twofa_lab.risk.policy import input_error, read_yaml
from twofa_lab.traffic.signup.settings import Factor

__all__ = ["MOST_PROMPTS", "PROGRESSIVE_DAYS", "Arm"]

MOST_PROMPTS = 8
"""Prompts an arm may show; every visitor carries an answer to each."""

PROGRESSIVE_DAYS = (30, 44, 72)
"""When the flow itself prompts somebody who always says "no": between day 30 and 90, after a week
that each "no" doubles (`flow.prompts.PromptRules`)."""

Strength = Annotated[float, Field(ge=0.0, le=1.0)]
Incentive = Annotated[float, Field(ge=0.0, le=25.0)]


class Arm(BaseModel):
    """A policy of sign-up and enrolment. Every arm verifies the phone with a code first.

    `when`: `never`; `forced`, at sign-up, no account without; `optional`, once at sign-up, with a
    "not now"; `progressive`, on the `days` since sign-up; `in_line`, at the first `moments` of high
    engagement. `wording` runs from neutral (0) to insistent (1); enrolment pays the incentive.

    >>> Arm.forced("totp").when, Arm.phone_only() == Arm.phone_only()
    ('forced', True)
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    when: Literal["never", "forced", "optional", "progressive", "in_line"]
    factor: Factor | None = None
    days: tuple[Annotated[int, Field(ge=1, le=3_650)], ...] = ()
    moments: Annotated[int, Field(ge=0, le=MOST_PROMPTS)] = 0
    wording: Strength = 0.0
    incentive_usd: Incentive = 0.0

    @model_validator(mode="after")
    def _possible(self) -> Arm:
        if (self.factor is None) != (self.when == "never"):
            raise ValueError("an arm asks for a factor, unless it never asks")
        if (len(self.days) > 0) != (self.when == "progressive"):
            raise ValueError("days belong to a progressive arm, which needs at least one")
        if len(self.days) > MOST_PROMPTS or list(self.days) != sorted(set(self.days)):
            raise ValueError(f"days must rise, and be at most {MOST_PROMPTS}")
        if (self.moments > 0) != (self.when == "in_line"):
            raise ValueError("moments belong to an in_line arm, which needs at least one")
        if self.when in ("never", "forced") and (self.wording or self.incentive_usd):
            raise ValueError("wording and incentive belong to arms that people may decline")
        return self

    @classmethod
    def phone_only(cls) -> Arm:
        """Verify the phone, ask for no second factor."""
        return cls(when="never")

    @classmethod
    def forced(cls, factor: Factor) -> Arm:
        """No account without the factor."""
        return cls(when="forced", factor=factor)

    @classmethod
    def optional(cls, factor: Factor, *, wording: float = 0.0, incentive_usd: float = 0.0) -> Arm:
        """Offer the factor once, at sign-up."""
        return cls(when="optional", factor=factor, wording=wording, incentive_usd=incentive_usd)

    @classmethod
    def progressive(
        cls,
        factor: Factor,
        days: tuple[int, ...] = PROGRESSIVE_DAYS,
        *,
        wording: float = 0.0,
        incentive_usd: float = 0.0,
    ) -> Arm:
        """Prompt on these days since sign-up until the person says yes."""
        return cls(
            when="progressive",
            factor=factor,
            days=days,
            wording=wording,
            incentive_usd=incentive_usd,
        )

    @classmethod
    def in_line(
        cls,
        factor: Factor = "passkey",
        moments: int = 3,
        *,
        wording: float = 0.0,
        incentive_usd: float = 0.0,
    ) -> Arm:
        """Prompt at the first moments of high engagement, such as a payment just made."""
        return cls(
            when="in_line",
            factor=factor,
            moments=moments,
            wording=wording,
            incentive_usd=incentive_usd,
        )

    @classmethod
    def load(cls, path: str | Path) -> Arm:
        """An arm from a YAML file."""
        try:
            return cls.model_validate(read_yaml(path))
        except ValidationError as error:
            raise input_error(path, error) from None

    def to_yaml(self) -> str:
        """The arm as YAML, what is not its own left out.

        >>> print(Arm.progressive("passkey", (30, 60), wording=0.5).to_yaml().rstrip())
        when: progressive
        factor: passkey
        days:
        - 30
        - 60
        wording: 0.5
        """
        content = self.model_dump(mode="json", exclude_defaults=True)
        text: str = yaml.safe_dump(content, sort_keys=False)
        return text

    def save(self, path: str | Path) -> Path:
        """Write the arm as a YAML file; returns its path."""
        target = Path(path)
        try:
            target.write_text(self.to_yaml(), encoding="utf-8")
        except OSError as error:
            raise WorkError(f"{target}: {error.strerror or error}") from None
        return target

    def prompts(self) -> int:
        """How often somebody who always says "no" is asked.

        >>> Arm.in_line(moments=2).prompts(), Arm.forced("sms").prompts()
        (2, 0)
        """
        return {"optional": 1, "progressive": len(self.days), "in_line": self.moments}.get(
            self.when, 0
        )

    def check_followed(self, followed_days: int) -> None:
        """Raise `InputError` when a prompt would come after the end of what is followed."""
        if self.days and self.days[-1] > followed_days:
            raise InputError(
                f"an arm prompts on day {self.days[-1]}, and visitors are followed for "
                f"{followed_days} days: prompt earlier or follow longer"
            )
