"""The committed notebooks are thin views, saved executed, whose figures nbval really compares."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))
NOT_COMPARED = ("NBVAL_IGNORE_OUTPUT", "NBVAL_SKIP")
KEY_FIGURES = {
    "05_scorer_contest": (
        "judged: legitimate", "Caught while at most 1 %", "Area under the ROC curve",
        "to catch 90 % of attempts", "of predicting the mean", "password-only",
        "the most that a scorer catches is", "0.933 / 35.0 % / 20.1 %", "4/6/8/6",
        "challenged or reported alone", "hold-out and inverse propensity", "of the value",
    ),
    "01_universal_vs_risk_based": (
        "challenge_rate", "conversion", "takeovers", "cost_per_1000_usd", "does not hold here",
        "Paired differences", "Realism of", "per 1,000 legitimate logins",
    ),
    "02_replay_your_own_logs": (
        "rows rejected", "decision: challenge", "would have challenged", "conversion_low",
        "new_country", "points.new_device: 0.5 -> 0.3", "are simulated",
    ),
    "03_one_login": (
        "wrong, 4 left", "AAL 2 by pwd otp sms mca mfa", "asked for: passkey", "rows holds: True",
        "200 logins compared, 0 differ",
    ),
    "04_tune_thresholds": (
        "keeps the budget", "Challenge at 1: it asks", "no threshold satisfies this",
        "Who bears the challenges", "data fingerprint", "in place of risk-based would ask",
        "within chance: leave the threshold", "rather than 0.9 to come to", "at the start",
    ),
    "06_does_the_guide_hold": (
        "Does the guide hold?", "Value that the four signals cover", "too close to call",
        "whatever was moved", "moved cases", "days 0 to 60", "Not for a simulation",
        "of the guide's 14 numbers hold here",
    ),
    "10_channel_fallback": (
        "choices are on the frontier", "whatsapp > sms", "cents saved", "in the incident",
        "costs least",
    ),
    "08_progressive_enrolment": (
        "left at a prompt", "Log-rank over 5 schedules", "leads furthest",
    ),
    "09_passkey_migration": ("SMS-only left", "reaches 30 % on day", "there before"),
    "11_monitoring": ("False alarms in calm worlds", "carrier outage", "twofa_challenges_total"),
    "07_signup_ab_test": (
        "sample ratio", "not worse by 3.00 points", "1.96 at each of 28 looks", "bound",
        "worse by the margin", "Miettinen-Nurminen", "CUPED", "Ship treatment", "true effect",
        "in-line passkey: ",
    ),
}  # fmt: skip
LEAST_COMPARED = {
    "05_scorer_contest": 14,
    "06_does_the_guide_hold": 9,
    "07_signup_ab_test": 15,
    "08_progressive_enrolment": 7,
    "09_passkey_migration": 8,
    "11_monitoring": 8,
    "01_universal_vs_risk_based": 9,
    "02_replay_your_own_logs": 16,
    "03_one_login": 12,
    "04_tune_thresholds": 16,
    "10_channel_fallback": 6,
}
"""Cells whose text output holds figures."""


def code_cells(path):
    return [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]


def text_of(output):
    """What nbval compares of an output: all but pictures."""
    found = [output.get("text", "")]
    found += [text for mime, text in output.get("data", {}).items() if mime.startswith("text/")]
    return "\n".join(found)


def text_of_cell(cell):
    return "\n".join(text_of(output) for output in cell.outputs)


def python_of(cell):
    """The cell's source without magics, which are no Python."""
    return "\n".join(line for line in cell.source.splitlines() if not line.startswith("%"))


def is_compared(cell):
    """Whether nbval compares a figure in this cell: a digit in text that is not only a figure's
    size, in a cell that ran and is not exempt.
    """
    text = text_of_cell(cell)
    return (
        cell.execution_count is not None
        and not any(mark in cell.source for mark in NOT_COMPARED)
        and not text.startswith("\n<Figure size")
        and re.search(r"\d", text) is not None
    )


def test_every_notebook_is_there():
    assert [path.stem for path in NOTEBOOKS] == sorted(KEY_FIGURES)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestNotebook:
    def test_it_was_saved_executed_in_order_and_without_errors(self, path):
        cells = code_cells(path)
        assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
        kinds = {output.output_type for cell in cells for output in cell.outputs}
        assert kinds <= {"execute_result", "display_data", "stream"}
        streams = {o.name for cell in cells for o in cell.outputs if o.output_type == "stream"}
        assert streams == {"stdout"}  # a warning or progress bar would land on stderr

    def test_enough_cells_are_really_compared(self, path):
        assert sum(map(is_compared, code_cells(path))) >= LEAST_COMPARED[path.stem]

    def test_the_key_figures_are_in_compared_text(self, path):
        compared = "\n".join(text_of_cell(c) for c in code_cells(path) if is_compared(c))
        assert [key for key in KEY_FIGURES[path.stem] if key not in compared] == []

    def test_figures_are_saved_as_pictures(self, path):
        plots = [cell for cell in code_cells(path) if ".plot" in cell.source]
        assert plots
        for cell in plots:
            assert any("image/png" in output.get("data", {}) for output in cell.outputs)

    def test_one_cell_holds_the_parameters(self, path):
        tagged = [c for c in code_cells(path) if "parameters" in c.metadata.get("tags", [])]
        assert len(tagged) == 1
        body = ast.parse(tagged[0].source).body
        assert body
        assert all(isinstance(node, ast.Assign) for node in body)

    def test_it_is_a_thin_view(self, path):
        logic = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.If, ast.While)
        for cell in code_cells(path):
            assert len(cell.source.splitlines()) <= 25
            assert not [n for n in ast.walk(ast.parse(python_of(cell))) if isinstance(n, logic)]

    def test_nothing_in_it_belongs_to_one_machine_or_run(self, path):
        unwanted = re.compile(
            r"0x[0-9a-f]{6,}|(?<![\w.])/(home|root|tmp|work|usr|Users|var)/|[A-Z]:\\|"
            r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-"
        )
        for cell in code_cells(path):
            assert not unwanted.search(cell.source + text_of_cell(cell))
            assert "execution" not in cell.metadata  # times of the run
