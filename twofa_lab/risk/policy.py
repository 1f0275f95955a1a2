"""A policy: when to ask, how to deliver, what to allow. A value: load, save, compare.

The YAML form is a file a security engineer takes into a review; unknown keys are refused.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from twofa_lab.errors import InputError, WorkError
from twofa_lab.risk.decision import wait_after
from twofa_lab.risk.rules import RulePoints

__all__ = ["BUILT_IN", "Channel", "Fallback", "Limits", "Policy", "input_error", "read_yaml"]

Channel = Literal["whatsapp", "sms", "voice"]
_Share = Annotated[float, Field(ge=0.0, le=1.0, strict=True)]  # strict: YAML's "no" is not 0.0
_MAX_FILE = 1_000_000
_LONGEST_VALUE = 10_000


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Fallback(_Strict):
    """Channels of a code in order, and how long each gets before the next is tried."""

    channels: tuple[Channel, ...] = ("whatsapp", "sms", "voice")
    timeout_seconds: Annotated[float, Field(ge=5, le=300)] = 30.0

    @field_validator("channels")
    @classmethod
    def _distinct(cls, channels: tuple[Channel, ...]) -> tuple[Channel, ...]:
        if not channels or len(set(channels)) != len(channels):
            raise ValueError("name at least one channel, and each only once")
        return channels


class Limits(_Strict):
    """Throttling before lock-out. The 30 s, 1 h and 100 are NIST SP 800-63B-4 section 3.2.2's;
    the ten free failures are an assumption. Recognised devices are counted apart, so that a
    stranger's guesses cannot keep the owner out.
    """

    throttle_after: Annotated[int, Field(ge=1, le=100)] = 10
    first_wait_seconds: Annotated[float, Field(ge=1, le=3600)] = 30.0
    longest_wait_seconds: Annotated[float, Field(ge=1, le=86_400)] = 3600.0
    lock_after: Annotated[int, Field(ge=1, le=100)] = 100

    def wait_ms(self, failures: int) -> int:
        """How long an account waits after that many consecutive failures."""
        first, longest = self.first_wait_seconds * 1000, self.longest_wait_seconds * 1000
        return int(wait_after(failures, self.throttle_after, round(first), round(longest)))


class Policy(_Strict):
    """When a login is asked for a second factor, and how.

    `challenge_at` and `deny_at` are scores (null: never). A device on which a challenge was passed
    and trust was given skips challenges for `trust_device_days` (null: no trusted devices), but
    only while the score stays below `trust_below`. `allow_weaker_factor`: a person whose strongest
    factor does not work may use another enrolled one, and so may an attacker.

    `model` is the file of a fitted scorer (freeman, learned); in a policy file it is relative to
    that file. `unscored`: what becomes of a login that the scorer cannot judge, such as an
    account's first by freeman. The rules need neither.

    >>> Policy.risk_based().challenge_at
    0.45
    >>> Policy.risk_based() == Policy.named("risk-based")
    True
    """

    name: Annotated[str, Field(min_length=1, max_length=80)]
    scorer: Literal["rules", "freeman", "learned"] = "rules"
    model: Annotated[str, Field(min_length=1)] | None = None
    unscored: Literal["challenge", "allow"] = "challenge"
    challenge_at: _Share | None = 0.45
    deny_at: _Share | None = None
    trust_device_days: Annotated[float, Field(gt=0, le=365)] | None = 30.0
    trust_below: _Share = 0.6
    fallback: Fallback = Fallback()
    max_attempts: Annotated[int, Field(ge=1, le=5)] = 5
    allow_weaker_factor: bool = True
    points: RulePoints = RulePoints()
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _has_model(self) -> Policy:
        if self.scorer == "rules" and self.model is not None:
            raise ValueError("the rules take points and no model; leave model out")
        if self.scorer != "rules" and self.model is None:
            raise ValueError(f"the {self.scorer} scorer needs a model: name its file under model")
        return self

    @model_validator(mode="after")
    def _ordered(self) -> Policy:
        if None not in (self.challenge_at, self.deny_at) and self.deny_score < self.challenge_score:
            raise ValueError("deny_at lies below challenge_at, so that no login could be asked")
        return self

    @property
    def challenge_score(self) -> float:
        """`challenge_at`, infinity where the policy never asks."""
        return math.inf if self.challenge_at is None else self.challenge_at

    @property
    def deny_score(self) -> float:
        """`deny_at`, infinity where the policy never denies."""
        return math.inf if self.deny_at is None else self.deny_at

    @classmethod
    def password_only(cls) -> Policy:
        """Never asks for a second factor."""
        return cls(name="password-only", challenge_at=None, trust_device_days=None)

    @classmethod
    def universal(cls) -> Policy:
        """Asks at every login, trusted device or not."""
        return cls(name="universal", challenge_at=0.0, trust_device_days=None)

    @classmethod
    def risk_based(cls) -> Policy:
        """The guide's four signals, with trusted devices."""
        return cls(name="risk-based")

    @classmethod
    def named(cls, name: str) -> Policy:
        """A built-in policy by name, or the policy in the YAML file of that path."""
        if name in BUILT_IN:
            return BUILT_IN[name]
        if not os.path.isfile(name):  # noqa: PTH113 - Path.is_file raises for a name too long
            raise InputError(
                f"no policy {name!r}: name one of {', '.join(BUILT_IN)} or a policy file"
            )
        return cls.load(name)

    @classmethod
    def load(cls, path: str | Path) -> Policy:
        """The policy in a YAML file; `InputError` names the file and key of what is wrong."""
        content = read_yaml(path)
        try:
            found = cls.model_validate(content)
        except (ValidationError, InputError) as error:
            raise input_error(path, error) from None
        if found.model is None:
            return found
        return found.model_copy(update={"model": str(Path(path).parent / found.model)})

    def to_yaml(self) -> str:
        """The policy as a file's text.

        >>> print(Policy.risk_based().to_yaml().splitlines()[0])
        name: risk-based
        """
        text: str = yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)
        return text

    def save(self, path: str | Path) -> Path:
        """Write the policy to a YAML file and return its path; `WorkError` where that fails."""
        target = Path(path)
        moved = self
        if self.model is not None:
            beside = os.path.relpath(self.model, target.parent)
            moved = self.model_copy(update={"model": beside})
        try:
            target.write_text(moved.to_yaml(), encoding="utf-8")
        except OSError as error:
            raise WorkError(f"{target}: {error.strerror or error}") from None
        return target

    def differences(self, other: Policy) -> dict[str, tuple[object, object]]:
        """What another policy does otherwise: dotted key to (here, there).

        >>> Policy.risk_based().differences(Policy.universal())["challenge_at"]
        (0.45, 0.0)
        """
        mine, theirs = _flat(self.model_dump(mode="json")), _flat(other.model_dump(mode="json"))
        return {key: (mine[key], theirs[key]) for key in mine if mine[key] != theirs[key]}


BUILT_IN = {
    policy.name: policy
    for policy in (Policy.password_only(), Policy.universal(), Policy.risk_based())
}
"""Policies that need no file."""


def _flat(content: dict[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


class _Loader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1
        if self.check_event(yaml.AliasEvent):
            raise InputError(f"line {line} uses an alias; write the value out instead")
        if self.check_event(yaml.ScalarEvent) and len(event.value) > _LONGEST_VALUE:
            # 1:1:1:… is a number to YAML, in base 60, and takes it minutes
            raise InputError(f"line {line} holds a value of over {_LONGEST_VALUE:,} characters")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise InputError(f"line {key.start_mark.line + 1} gives a key a second time")
            seen.add(name)
        return super().construct_mapping(node, deep)


def read_yaml(path: str | Path) -> dict[str, object]:
    """The mapping in a YAML file, read safely; `InputError` in one line otherwise.

    Aliases and keys given twice are refused: a few of the former can fill the memory, and one of
    the latter would be lost.
    """
    source = Path(path)
    try:
        if source.stat().st_size > _MAX_FILE:
            raise InputError(f"larger than {_MAX_FILE:,} bytes, not a file of ours")
        content = yaml.load(source.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a safe one
    except InputError as error:
        raise input_error(source, error) from None
    except OSError as error:
        raise InputError(f"{source}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise InputError(f"{source}: not UTF-8 text") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise InputError(f"{source}: not valid YAML{where}") from None
    except RecursionError:
        raise InputError(f"{source}: nested too deeply") from None
    except (ValueError, LookupError, AttributeError, ArithmeticError):  # 2026-99-99
        raise InputError(f"{source}: not valid YAML: a number or date that is none") from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise InputError(f"{source}: expected keys and values; the file may be cut short")
    return content


def input_error(path: str | Path, error: ValidationError | InputError) -> InputError:
    """A validation error as one line that names the file and the key."""
    if isinstance(error, InputError):
        return InputError(f"{path}: {error}")
    first = error.errors()[0]
    key = " ".join(".".join(str(part) for part in first["loc"]).split())[:80]
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    what = {
        "extra_forbidden": "unknown key",
        "unexpected_keyword_argument": "unknown key",
        "missing": "missing key",
    }.get(first["type"], first["msg"].removeprefix("Value error, "))
    return InputError(f"{path}: {key + ': ' if key else ''}{what}{more}")
