"""A challenge's story is what its audit says, and no more."""

from __future__ import annotations

import pytest

from twofa_lab.analysis.one_challenge import audit_trail, challenge_story
from twofa_lab.errors import InputError
from twofa_lab.flow.codes_due import advance
from twofa_lab.flow.rehearsal import Rehearsal
from twofa_lab.flow.sign_up import SignUp, begin_sign_up, verify_phone
from twofa_lab.risk.policy import Policy

NUMBER = "+447400123456"


@pytest.fixture(scope="module")
def played() -> tuple[Rehearsal, str, str]:
    """A stage, the challenge of a sign-up that fell back to SMS, and its code."""
    stage = Rehearsal.open(Policy.risk_based())
    stage.reach(NUMBER, whatsapp=None, sms=2.0)
    step = begin_sign_up(stage.flow, SignUp("ann", NUMBER, "correct horse"))
    assert step.ticket is not None
    assert step.ask is not None
    stage.until(step.ask.next_send_ms)
    advance(stage.flow, step.ticket)
    stage.wait(seconds=2)
    code = stage.read(NUMBER)
    verify_phone(stage.flow, step.ticket, f"{(int(code) + 1) % 10**6:06d}")
    stage.wait(seconds=8)
    verify_phone(stage.flow, step.ticket, code)
    return stage, step.ticket.challenge_id, code


def test_it_tells_what_happened_in_order(played: tuple[Rehearsal, str, str]) -> None:
    stage, challenge, code = played
    story = challenge_story(stage.flow.engine, challenge)
    assert story.factor == "otp"
    assert [(m.seconds, m.line, m.kind) for m in story.moments] == [
        (0.0, "whatsapp", "sent"),
        (30.0, "sms", "sent"),
        (32.0, "whatsapp", "lost"),
        (32.0, "sms", "arrived"),
        (32.0, "typed", "typed"),
        (40.0, "typed", "typed"),
    ]
    assert code not in str(story) + story._repr_html_()
    assert "wrong, 4 left" in str(story)


def test_the_figure_has_a_line_for_each_channel(played: tuple[Rehearsal, str, str]) -> None:
    stage, challenge, _ = played
    figure = challenge_story(stage.flow.engine, challenge).plot()
    (axes,) = figure.axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["typed", "sms", "whatsapp"]
    assert "seconds" in axes.get_xlabel()


def test_the_trail_counts_every_row(played: tuple[Rehearsal, str, str]) -> None:
    trail = audit_trail(played[0].flow.engine)
    assert ("attempt", "2") in trail.rows
    assert trail.note == f"{sum(int(rows) for _, rows in trail.rows)} rows in the chain."


def test_an_unknown_challenge_is_refused(played: tuple[Rehearsal, str, str]) -> None:
    with pytest.raises(InputError, match="no such challenge"):
        challenge_story(played[0].flow.engine, "nothing")
