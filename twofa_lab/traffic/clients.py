"""Browsers and devices as real User-Agent headers, with their shares.

Source: the `fake-useragent` package, whose table is drawn from a statistics service's sample of
real visits. Versions of one browser on one system form a family; an upgrade moves a device to the
next version in its family.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from twofa_lab.tables import Array

__all__ = ["DEVICE_TYPES", "Clients", "clients"]

CREDIT = "User agents: fake-useragent (Apache-2.0)."
DEVICE_TYPES = ("mobile", "desktop", "tablet", "bot", "unknown")


@dataclass(frozen=True)
class Clients:
    """One row a User-Agent, sorted by family, then version.

    `share_cum[t]` is the running share within device type `t`'s rows `first_of_type[t]` on;
    `family_last[i]` is the newest row of row `i`'s family.
    """

    user_agents: tuple[str, ...]
    browsers: tuple[str, ...]
    systems: tuple[str, ...]
    browser: Array
    system: Array
    device_type: Array
    family_last: Array
    share_cum: Array
    first_of_type: Array

    def draw(self, device_type: Array, uniform: Array) -> Array:
        """A User-Agent row of each given device type, by share."""
        low = np.concatenate(([0.0], self.share_cum))[self.first_of_type[device_type]]
        high = np.concatenate(([0.0], self.share_cum))[self.first_of_type[device_type + 1]]
        at = np.searchsorted(self.share_cum, low + uniform * (high - low), side="right")
        return np.minimum(at, self.first_of_type[device_type + 1] - 1).astype(np.int32)


@cache
def clients() -> Clients:
    """The packaged table, loaded once a process.

    >>> table = clients()
    >>> len(table.user_agents) > 500, table.user_agents[0].startswith("Mozilla/5.0")
    (True, True)
    """
    text = (files("fake_useragent") / "data" / "browsers.jsonl").read_text(encoding="utf-8")
    shares: dict[str, float] = {}
    rows: dict[str, dict[str, object]] = {}
    for line in text.splitlines():
        row = json.loads(line)
        agent = row["useragent"]
        shares[agent] = shares.get(agent, 0.0) + float(row["percent"])
        rows.setdefault(agent, row)
    ordered = sorted(rows.values(), key=_sort_key)
    types = np.array([DEVICE_TYPES.index(str(row["type"])) for row in ordered], np.int8)
    families = [_family(row) for row in ordered]
    last = {family: index for index, family in enumerate(families)}
    browsers = [f"{row['browser']} {row['browser_version']}" for row in ordered]
    systems = [f"{row['os']} {row['os_version'] or ''}".strip() for row in ordered]
    browser_names, browser = np.unique(browsers, return_inverse=True)
    system_names, system = np.unique(systems, return_inverse=True)
    return Clients(
        user_agents=tuple(str(row["useragent"]) for row in ordered),
        browsers=tuple(map(str, browser_names)),
        systems=tuple(map(str, system_names)),
        browser=browser.astype(np.int16),
        system=system.astype(np.int16),
        device_type=types,
        family_last=np.array([last[family] for family in families], np.int32),
        share_cum=np.cumsum([shares[str(row["useragent"])] for row in ordered]),
        first_of_type=np.searchsorted(types, np.arange(len(DEVICE_TYPES) + 1)).astype(np.int64),
    )


def _family(row: dict[str, object]) -> tuple[str, ...]:
    return tuple(str(row[key]) for key in ("type", "os", "device_brand", "browser", "os_version"))


def _sort_key(row: dict[str, object]) -> tuple[object, ...]:
    version = tuple(int(part) for part in re.findall(r"\d+", str(row["browser_version"])))
    return (DEVICE_TYPES.index(str(row["type"])), _family(row), version, str(row["useragent"]))
