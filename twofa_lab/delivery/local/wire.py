"""What an HTTP request and reply are to the local provider's wire formats."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from twofa_lab.delivery.providers.http import parse_object

__all__ = ["Request", "Response", "Route", "same"]


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """A request as read from the socket; `path` without query, header names in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def form(self) -> dict[str, str]:
        """The body's form fields; empty where it is no form."""
        try:
            return dict(parse_qsl(self.body.decode(), keep_blank_values=True, max_num_fields=50))
        except ValueError:
            return {}

    def json(self) -> dict[str, Any]:
        """The body's JSON object; empty where it is none."""
        return parse_object(self.body) or {}


@dataclass(frozen=True, slots=True, repr=False)
class Response:
    """A reply: status, JSON object (None: no body) and extra headers."""

    status: int
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Route:
    """One operation: its name for faults, its method and path, and who answers.

    Groups of the path's pattern become arguments of `answer`.
    """

    name: str
    method: str
    pattern: re.Pattern[str]
    answer: Callable[..., Response]

    def match(self, request: Request) -> dict[str, str] | None:
        """The path's groups where this route is meant, else None."""
        found = self.pattern.fullmatch(request.path) if self.method == request.method else None
        return None if found is None else found.groupdict()


def same(given: str | None, expected: str) -> bool:
    """Compare a secret in constant time."""
    return hmac.compare_digest((given or "").encode(), expected.encode())
