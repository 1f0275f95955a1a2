"""Published marginals of real login traffic, to set generated traffic beside.

Source: the RBA data set (das-group, CC BY 4.0; Wiefling et al., ACM TOPS 2022): every sign-in at a
large Norwegian service for almost 13 months, with artificial identifiers.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RBA", "PublishedTraffic"]


@dataclass(frozen=True)
class PublishedTraffic:
    """Marginals of one data set; shares are fractions of its rows unless they say otherwise.

    `logins_per_user`: quantile to number of rows of an account over `days`. `countries` and
    `device_types`: the shares that were published; the countries leave the rest out.
    `per_minute`: hour of the data set's clock to median rows a minute; which clock that is, and
    the hours between, were not published. `success` is without the one account that stands for
    attempts at accounts that do not exist (44.9 % of the rows).
    """

    source: str
    rows: int
    users: int
    days: int
    logins_per_user: dict[float, int]
    one_login: float
    ten_or_more: float
    success: float
    attack_ip: float
    rtt_missing: float
    distinct_ips: int
    countries: dict[str, float]
    device_types: dict[str, float]
    per_minute: dict[int, float]

    @property
    def ips_per_user(self) -> float:
        """Distinct addresses of the whole data set over its accounts.

        >>> round(RBA.ips_per_user, 3)
        0.815
        """
        return self.distinct_ips / self.users


RBA = PublishedTraffic(
    source="RBA data set (das-group, CC BY 4.0; Wiefling et al., ACM TOPS 2022)",
    rows=31_269_264,
    users=4_304_857,
    days=392,  # 2020-02-03 to 2021-02-28, both counted
    logins_per_user={0.5: 2, 0.9: 9, 0.99: 28},
    one_login=0.397,
    ten_or_more=0.085,
    success=0.78,
    attack_ip=0.099,
    rtt_missing=0.959,
    distinct_ips=3_510_000,
    countries={"NO": 0.423, "US": 0.278, "RU": 0.054, "BR": 0.038, "DE": 0.029},
    device_types={
        "mobile": 0.628,
        "desktop": 0.254,
        "bot": 0.065,
        "unknown": 0.028,
        "tablet": 0.026,
    },
    per_minute={0: 16.0, 9: 73.0, 16: 80.0, 24: 17.0},
)
"""The public RBA data set."""
