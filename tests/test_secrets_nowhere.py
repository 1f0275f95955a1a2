"""No code, secret, recovery code or full phone number anywhere that anybody reads.

Two searches. A whole life of an account and whatever can be made of its audit are searched for the
very secrets that life had. What was written elsewhere, such as the reports of a run and the
notebooks kept here, whose secrets nobody knows any more, is searched for anything of their shape.
Then each secret and each shape is planted in each place, and must be found.
"""

from __future__ import annotations

import json
import logging
import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import NamedTuple

import nbformat
import pyarrow.parquet as pq
import pytest
from sqlalchemy import text

from tests.flow.entering import WRONG
from tests.flow.lab import HOUR, PASSWORD, PHONE, Lab, make_lab
from tests.flow.people import MAIL, mailed
from tests.flow.watched import Watched, holds, live
from twofa_lab.analysis.monitoring import monitor_audit
from twofa_lab.analysis.one_challenge import audit_trail, challenge_story
from twofa_lab.cli.main import run
from twofa_lab.delivery import phone
from twofa_lab.errors import LabError
from twofa_lab.factors.recovery_codes import RecoveryRules, generate
from twofa_lab.factors.totp import TotpSecret
from twofa_lab.flow.password_reset import begin_reset, finish_reset
from twofa_lab.flow.recovery import begin_recovery, prove
from twofa_lab.flow.recovery_kit import new_saved_code
from twofa_lab.store import accounts, archive, audit
from twofa_lab.store.audit import Event
from twofa_lab.store.engine import connect, read, write
from twofa_lab.store.keyring import Keyring
from twofa_lab.store.migrations import upgrade

ROOT = Path(__file__).resolve().parents[1]
Places = dict[str, list[str]]

SHAPES = {
    "a full phone number": r"\+\d(?:[ ().-]{0,2}\d){6,}",
    "a code": r"(?<![\w.,#%:/+-])\d{6}(?![\w.,%:/-])",
    "a code by name": r"(?i)\b(?:code|otp|pin)\b[\"']?\s*(?:is|[:=(])\s*[\"']?\d{4,}\b",
    "an app's key": r"otpauth://|\b[A-Z2-7]{26,}\b",
    "a recovery code": r"\b[A-Z0-9]{4}(?:-[A-Z0-9]{4}){3,}\b",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY",
    "a signed token": r"\beyJ[\w-]{10,}\.[\w-]{10,}\.",
}
"""What secrets look like; a picture's numbers are no codes and are left out before."""

_PICTURES = re.compile(r"<svg.*?</svg>|data:[\w/+;-]+base64,[A-Za-z0-9+/=]+", re.S)


class Found(NamedTuple):
    """Where something stands that must not, and what it is."""

    place: str
    what: str


def known(places: Places, secrets: set[str]) -> list[Found]:
    """Where one of these secrets stands."""
    return [
        Found(place, secret)
        for place, texts in places.items()
        for words in texts
        for secret in secrets
        if holds(words, secret)
    ]


def shaped(places: Places) -> list[Found]:
    """Where something stands that looks like a secret."""
    return [
        Found(place, f"{what}: {match[0]}")
        for place, texts in places.items()
        for words in texts
        for what, shape in SHAPES.items()
        for match in re.finditer(shape, _PICTURES.sub("", words))
    ]


# -- a life, and all that tells of it --------------------------------------------------------------


class Life(NamedTuple):
    """The secrets of an account's life, and every text that came of it."""

    secrets: set[str]
    places: Places


def _forgotten_and_lost(watched: Watched) -> None:
    """A password reset with a wrong and the right code, then a first proof of a recovery."""
    lab, see, fresh = watched.lab, watched.see, "a better horse"
    (user_id,) = {one.user_id for one in lab.stored()}
    with write(lab.flow.engine) as c:
        accounts.set_email(c, lab.flow.keyring, user_id, MAIL)
    watched.secrets.add(MAIL)
    request = see(begin_reset(lab.flow, "ann"))
    code = mailed(lab, "reset_code")
    see(finish_reset(lab.flow, request, WRONG, fresh))
    see(finish_reset(lab.flow, request, code, fresh), fresh, code)
    lab.wait(HOUR)
    request = see(begin_recovery(lab.flow, "ann"))
    see(
        prove(lab.flow, request, "email", mailed(lab, "recovery_code")),
        mailed(lab, "recovery_code"),
    )
    see(lab.login(password=PASSWORD))


def errors(watched: Watched) -> Iterator[str]:
    """What errors say, traceback and all, whose cause had a secret in its hands."""
    lab, secret = watched.lab, TotpSecret(b"k" * 20)
    code, national = lab.code(PHONE), PHONE[3:]
    keyring = Keyring.generate()
    watched.see(keyring, keyring.to_json())
    watched.secrets |= {secret.base32, code, *json.loads(keyring.to_json())["keys"].values()}
    sealed = keyring.encrypt(PHONE.encode(), 1, "accounts.phone")

    def add_twice() -> None:
        with write(lab.flow.engine) as c:
            row = {"password_hash": PASSWORD, "created": 1, "home_zone": "UTC", "phone": PHONE}
            accounts.add_account(c, lab.flow.keyring, user_id=1, name="ann", **row)

    def no_table() -> None:
        with write(lab.flow.engine) as c:
            c.execute(text("insert into nowhere values (:a, :b)"), {"a": PHONE, "b": code})

    def in_the_audit(detail: dict[str, object]) -> None:
        with write(lab.flow.engine) as c:
            audit.append(c, [Event(1, "send", 1, detail)])

    calls: list[Callable[[], object]] = [
        lambda: phone.parse(PHONE + "7" * 20),
        lambda: phone.parse(f"+44{national}99"),
        lambda: phone.parse(national, "GB1"),
        lambda: TotpSecret.from_base32(secret.base32[:8]),
        lambda: TotpSecret.from_base32(f"!{secret.base32}"),
        lambda: keyring.decrypt(sealed, 2, "accounts.phone"),
        lambda: Keyring.from_json(keyring.to_json()[:-9]),
        lambda: Keyring.from_environment({"TWOFA_LAB_KEYRING": keyring.to_json()[2:]}),
        lambda: prove(lab.flow, code * 3, "email", code),
        lambda: finish_reset(lab.flow, f"{code}.{PHONE}", code, PASSWORD),
        lambda: in_the_audit({"code": code}),
        lambda: in_the_audit({"to": PHONE}),
        lambda: in_the_audit({"to": code.encode()}),
        lambda: audit.Checkpoint.from_json(code),
        add_twice,
        no_table,
    ]
    for call in calls:
        with pytest.raises(LabError) as caught:
            call()
        said = [str(caught.value), repr(caught.value)]
        yield "".join([*said, *traceback.format_exception(caught.value)])


def _lived(lab: Lab, folder: Path, logs: pytest.LogCaptureFixture) -> Life:
    watched = Watched(lab)
    live(watched)
    _forgotten_and_lost(watched)
    said = list(errors(watched))
    exported = folder / "audit.parquet"
    with read(lab.flow.engine) as c:
        archive.export(c, exported)
    rows = [json.dumps(row, default=str) for row in pq.read_table(exported).to_pylist()]
    details = [json.loads(detail) for event, detail in lab.events("challenge")]
    stories = [challenge_story(lab.flow.engine, str(one["challenge"])) for one in details]
    seen = monitor_audit(exported)
    seen.to_prometheus(folder / "watched.prom")
    reports = [
        *(str(story) + story._repr_html_() for story in stories),
        str(audit_trail(lab.flow.engine)),
        json.dumps(seen.to_dict(), default=str) + str(seen.table()),
        (folder / "watched.prom").read_text(),
    ]
    logged = [record.getMessage() for record in logs.records]
    places = {
        "repr": watched.shown,
        "audit": rows,
        "logs": logged,
        "errors": said,
        "reports": reports,
    }
    return Life(watched.secrets, places)


@pytest.fixture
def life(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Life:
    for name in ("", "sqlalchemy.engine", "sqlalchemy.pool", "httpcore", "twofa_lab"):
        caplog.set_level(logging.DEBUG, logger=name)
    engine = connect("sqlite://")
    upgrade(engine)
    return _lived(make_lab(engine), tmp_path, caplog)


def test_no_secret_of_a_life_is_told_anywhere(
    life: Life, capfd: pytest.CaptureFixture[str]
) -> None:
    printed = capfd.readouterr()
    places = {**life.places, "output": [printed.out, printed.err]}
    print({place: len(texts) for place, texts in places.items()}, len(life.secrets))  # noqa: T201
    assert len(life.secrets) > 50
    assert min(len(texts) for texts in life.places.values()) > 5
    assert known(places, life.secrets) == []


def test_each_of_its_secrets_would_be_found_in_each_place(life: Life) -> None:
    for place, texts in life.places.items():
        for secret in life.secrets:
            planted = {place: [*texts[:3], f"and then ({secret}) was seen"]}
            assert Found(place, secret) in known(planted, life.secrets)


@pytest.mark.parametrize("leak", ["log", "error", "audit"])
def test_a_leak_in_the_code_would_be_found(
    leak: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Code that tells a recovery code to the log, to an error or to the audit, under a harmless
    name: the search that found nothing before finds that."""
    caplog.set_level(logging.DEBUG)
    engine = connect("sqlite://")
    upgrade(engine)
    lab = make_lab(engine)
    seen: list[str] = []

    def leaking(flow: object, session: str) -> str:
        seen.append(new_saved_code(lab.flow, session))
        if leak == "log":
            logging.getLogger("twofa_lab").debug("made %s", seen[-1])
        if leak == "audit":
            with write(engine) as c:
                audit.append(c, [Event(1, "recovery_codes", 1, {"note": seen[-1]})])
        return seen[-1]

    monkeypatch.setattr("tests.flow.watched.new_saved_code", leaking)
    if leak == "error":
        monkeypatch.setattr(
            "tests.test_secrets_nowhere.errors", lambda _watched: [f"no such code: {seen[-1]}"]
        )
    found = known(_lived(lab, tmp_path, caplog)[1], set(seen))
    assert {one.place for one in found} == {{"log": "logs", "error": "errors"}.get(leak, leak)}


# -- what was written elsewhere --------------------------------------------------------------------


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Places:
    """The reports of a small run, the audit of people who played it, and the notebooks here."""
    folder = tmp_path_factory.mktemp("written")
    size = ["--users", "80", "--days", "30", "--seed", "4", "--workers", "1"]
    page, gauges, printed = (folder / name for name in ("page.html", "watched.prom", "printed"))
    played, rows, world = folder / "played.db", folder / "audit.parquet", folder / "run"
    calls = [
        ["demo", *size, "--run", str(world), "--out", str(page)],
        [
            "parity",
            str(world),
            "--policy",
            "universal",
            "--logins",
            "60",
            "--database",
            str(played),
        ],
        ["audit", "export", str(played), "--out", str(rows)],
        ["monitor", str(rows), "--prometheus", str(gauges)],
    ]
    with printed.open("w", encoding="utf-8") as file, redirect_stdout(file):
        assert [run(call) for call in calls] == [0] * len(calls)
    return {
        "reports": [path.read_text(encoding="utf-8") for path in (page, gauges, printed)],
        "audit": [json.dumps(row, default=str) for row in pq.read_table(rows).to_pylist()],
        "notebooks": [
            words
            for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
            for words in outputs(nbformat.read(path, 4))
        ],
    }


def outputs(notebook: nbformat.NotebookNode) -> Iterator[str]:
    """Every text a notebook shows."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            shown = output.get("data", {}).items()
            yield output.get("text", "") + "\n".join(
                str(value) for kind, value in shown if not kind.startswith("image/")
            )


def test_nothing_in_reports_audit_or_notebooks_looks_like_a_secret(written: Places) -> None:
    sizes = {place: (len(texts), sum(map(len, texts))) for place, texts in written.items()}
    print(sizes)  # noqa: T201 - texts and characters
    assert sizes["notebooks"][0] > 50
    assert sizes["audit"][0] > 100
    assert shaped(written) == []


@pytest.mark.parametrize(
    ("what", "plant"),
    [
        ("a full phone number", "sent to +447400123456"),
        ("a full phone number", "sent to +1 (500) 555-0006"),
        ("a code", "it was 482913 in the end"),
        ("a code by name", '{"otp": "4829"}'),
        ("an app's key", TotpSecret(b"k" * 20).base32),
        ("an app's key", "otpauth://totp/x"),
        ("a recovery code", generate(RecoveryRules(count=1)).codes[0]),
        ("a private key", "-----BEGIN PRIVATE KEY-----"),
        ("a signed token", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0x.c2ln"),
    ],
)
def test_each_shape_would_be_found_in_each_place(written: Places, what: str, plant: str) -> None:
    for place, texts in written.items():
        for position in (0, len(texts) // 2, len(texts) - 1):
            found = shaped({place: [texts[position] + f"\n<td>{plant}</td>"]})
            assert any(one.what.startswith(what + ":") for one in found), (place, position)
