"""Write the made-up logs in `logs/`: `python data/make_samples.py [FOLDER]`.

Every account, name, time and event here is invented. Addresses are drawn at random from blocks of
large access providers, so that a look-up by address finds a country; nobody's real log was used.
The same script always writes the same bytes.
"""

from __future__ import annotations

import csv
import random
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

SEED = 20250301
# (first half of the address, country, region, city, AS number as an RBA file has it)
HOMES = [
    ("84.208", "NO", "Oslo County", "Oslo", 29695),
    ("88.88", "NO", "Vestland", "Bergen", 29492),
    ("73.15", "US", "California", "San Jose", 393398),
    ("177.32", "BR", "Sao Paulo", "Sao Paulo", 28573),
    ("49.36", "IN", "Maharashtra", "Mumbai", 55836),
    ("84.128", "DE", "Bavaria", "Munich", 3320),
    ("79.184", "PL", "-", "-", 5617),
]
AWAY = [
    ("218.92", "CN", "Jiangsu", "Nanjing", 4134),
    ("95.24", "RU", "Moscow", "Moscow", 8402),
    ("14.160", "VN", "-", "-", 45899),
]
CLIENTS = [
    ("Chrome 133.0.0", "Android 15", "mobile", "Linux; Android 15; K", "Chrome/133.0.0.0 Mobile"),
    (
        "Safari 18.3",
        "iOS 18.3",
        "mobile",
        "iPhone; CPU iPhone OS 18_3 like Mac OS X",
        "Safari/604.1",
    ),
    ("Chrome 133.0.0", "Windows 10", "desktop", "Windows NT 10.0; Win64; x64", "Chrome/133.0.0.0"),
    ("Firefox 135.0", "Ubuntu", "desktop", "X11; Linux x86_64; rv:135.0", "Firefox/135.0"),
    (
        "Safari 18.3",
        "Mac OS X 10.15.7",
        "desktop",
        "Macintosh; Intel Mac OS X 10_15_7",
        "Safari/605",
    ),
]
SCRIPT = ("Python Requests 2.32", "-", "bot", "compatible", "python-requests/2.32")
NOBODY = -4324475583306591935  # the RBA data set puts attempts at accounts that do not exist here


def address(draw: random.Random, block: str) -> str:
    """A random address of a block of 65,536."""
    return f"{block}.{draw.randrange(256)}.{draw.randrange(1, 255)}"


def agent(client: tuple[str, ...]) -> str:
    """The User-Agent header of a client."""
    return f"Mozilla/5.0 ({client[3]}) {client[4]}"


def rba_rows(draw: random.Random) -> list[list[object]]:
    """About 200 attempts of 30 accounts in two months: two waves of guesses, two takeovers."""
    start = datetime(2025, 2, 3, tzinfo=UTC)
    events: list[tuple[datetime, list[object]]] = []

    def event(
        when: datetime,
        user: int,
        ip: str,
        home: tuple,
        client: tuple,
        ok: bool,
        bad: bool,
        taken=False,
    ) -> None:
        rtt = draw.randrange(20, 900) if draw.random() < 0.05 else ""
        events.append(
            (when, [user, rtt, ip, *home[1:], agent(client), *client[:3], ok, bad, taken])
        )

    for _ in range(30):
        user = draw.randrange(-(2**63), 2**63)
        home = draw.choice(HOMES)
        clients = draw.sample(CLIENTS, draw.choice([1, 1, 2]))
        addresses = [address(draw, home[0]) for _ in range(2)]
        hour = draw.randrange(6, 22)
        for _ in range(min(1 + int(draw.expovariate(1 / 5)), 20)):
            when = start + timedelta(
                days=draw.randrange(58), hours=hour, milliseconds=draw.randrange(5_400_000)
            )
            if draw.random() < 0.12:
                event(
                    when - timedelta(seconds=20), user, addresses[0], home, clients[0], False, False
                )
            event(when, user, draw.choice(addresses), home, draw.choice(clients), True, False)
    for day, home in ((12, AWAY[0]), (30, AWAY[1])):
        ip = address(draw, home[0])
        for attempt in range(12):
            when = start + timedelta(days=day, hours=3, seconds=attempt * 7 + draw.random())
            event(when, NOBODY, ip, home, SCRIPT, False, True)
        victim = events[draw.randrange(60)][1][0]
        when = start + timedelta(days=day + 1, hours=3, minutes=5)
        event(when, victim, ip, home, CLIENTS[2], True, True, True)
    events.sort(key=lambda pair: pair[0])
    return [
        [index, when.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3], *fields]
        for index, (when, fields) in enumerate(events)
    ]


RBA_HEADER = [
    *("index", "Login Timestamp", "User ID", "Round-Trip Time [ms]", "IP Address", "Country"),
    *("Region", "City", "ASN", "User Agent String", "Browser Name and Version"),
    *("OS Name and Version", "Device Type", "Login Successful", "Is Attack IP"),
    "Is Account Takeover",
]


def shop_rows(draw: random.Random) -> list[list[object]]:
    """A web shop's own log: 20 accounts in three weeks, a sprayed password, two spoilt rows."""
    start = datetime(2025, 3, 3, tzinfo=UTC)
    rows: list[tuple[datetime, list[object]]] = []
    for number in range(20):
        account = f"customer-{number:03}"
        home = draw.choice(HOMES)
        client = draw.choice(CLIENTS)
        device = f"{draw.getrandbits(48):012x}"
        for _ in range(draw.randrange(1, 10)):
            when = start + timedelta(
                days=draw.randrange(21), seconds=draw.randrange(25_000, 80_000)
            )
            ok = draw.random() > 0.1
            row = [
                account,
                ok,
                address(draw, home[0]),
                agent(client),
                device,
                draw.randrange(30, 400),
            ]
            rows.append((when, [*row, "none"]))
        sprayed = start + timedelta(days=9, hours=2, minutes=number * 3)
        row = [account, number == 7, address(draw, AWAY[2][0]), agent(SCRIPT), "", ""]
        rows.append((sprayed, [*row, "password_spray"]))
    rows.sort(key=lambda pair: pair[0])
    table = [[when.isoformat(timespec="seconds"), *fields] for when, fields in rows]
    table.insert(40, list(table[39]))  # a row that was written twice
    table.insert(60, ["yesterday", *table[59][1:]])  # and one without a time
    return table


SHOP_HEADER = ["ts", "account", "ok", "ip", "agent", "device", "latency_ms", "label"]


def auth_lines(draw: random.Random) -> list[str]:
    """A host's log over New Year: two people with keys, one with a password, and strangers."""
    start = datetime(2024, 12, 28, 6, tzinfo=UTC)
    people = [
        ("deploy", "publickey", address(draw, "84.128"), "ED25519 SHA256:" + "dEpLoY" * 7 + "w"),
        ("mari", "publickey", address(draw, "84.208"), "RSA SHA256:" + "mArImArI" * 5 + "xyz"),
        ("ola", "password", address(draw, "88.88"), ""),
    ]
    lines: list[tuple[datetime, str]] = []
    for day in range(8):
        for user, method, ip, key in people:
            if draw.random() < 0.75:
                when = start + timedelta(days=day, seconds=draw.randrange(40_000))
                port = draw.randrange(32_768, 61_000)
                if method == "password" and draw.random() < 0.4:
                    before = when - timedelta(seconds=9)
                    lines.append((before, f"Failed password for {user} from {ip} port {port} ssh2"))
                end = f" ssh2: {key}" if key else " ssh2"
                lines.append((when, f"Accepted {method} for {user} from {ip} port {port}{end}"))
                opened = f"pam_unix(sshd:session): session opened for user {user}(uid=1001)"
                lines.append((when + timedelta(seconds=1), opened))
        ip = address(draw, draw.choice(AWAY)[0])
        for guess in range(draw.randrange(2, 6)):
            when = start + timedelta(days=day, hours=draw.randrange(12), seconds=guess * 4)
            port = draw.randrange(32_768, 61_000)
            name = draw.choice(["root", "invalid user admin", "invalid user test", "invalid user "])
            failed = f"Failed password for {name} from {ip} port {port} ssh2"
            lines.append((when, failed))
            if name == "root":
                repeated = f"message repeated {draw.randrange(2, 6)} times: [ {failed}]"
                lines.append((when + timedelta(seconds=3), repeated))
            lines.append((when + timedelta(seconds=5), f"Connection closed by {ip} port {port}"))
    lines.sort(key=lambda pair: pair[0])
    return [
        f"{when:%b} {when.day:2} {when:%H:%M:%S} gateway sshd[{2_000 + place}]: {message}"
        for place, (when, message) in enumerate(lines)
    ]


def write(folder: Path) -> None:
    """Write the three files into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, header, rows in (
        ("rba.csv", RBA_HEADER, rba_rows(random.Random(SEED))),  # noqa: S311 - no secrets here
        ("shop.csv", SHOP_HEADER, shop_rows(random.Random(SEED + 1))),  # noqa: S311
    ):
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([header, *rows])
    lines = auth_lines(random.Random(SEED + 2))  # noqa: S311
    (folder / "auth.log").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "logs")
