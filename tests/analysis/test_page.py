"""The page: one file that opens offline, with every table and figure, the same bits every time."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from importlib.metadata import version

import pytest

from twofa_lab.analysis.comparison import Comparison, compare
from twofa_lab.analysis.page import comparison_page, provenance
from twofa_lab.traffic.world import World

VOID = ("meta", "link", "br", "hr", "img", "input")


class Page(HTMLParser):
    """Elements, attributes, and the text of table cells, captions and the rest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.cells: list[str] = []
        self.captions: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.cells.append(data)
        if self.open and self.open[-1] == "caption":
            self.captions.append(data)


@pytest.fixture(scope="module")
def text(study: Comparison) -> str:
    return comparison_page(study)


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_nothing_is_fetched_and_nothing_runs(text: str, page: Page):
    for tag, attributes in page.elements:
        assert tag not in ("script", "link", "iframe", "object", "embed", "img", "base"), tag
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href", "xlink:href", "action", "data", "srcset"):
                assert value is not None
                assert value.startswith("#"), (tag, name, value)
    assert "@import" not in text
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", text))


def test_every_table_is_there_with_all_its_cells(page: Page, study: Comparison):
    sheets = (study.table(), study.paired(), study.attacks(), study.claims_table())
    assert page.captions == [sheet.title for sheet in sheets]
    cells = [
        cell for sheet in sheets for row in (sheet.columns, *sheet.rows) for cell in row if cell
    ]
    assert page.cells == cells


def test_there_are_four_figures_and_the_sentence_and_the_note(page: Page, study: Comparison):
    assert [tag for tag, _ in page.elements].count("svg") == 4
    said = "".join(page.text)
    assert study.sentence() in said
    assert study.note in said


def test_the_policies_are_there_as_files_to_use(page: Page, study: Comparison):
    said = "".join(page.text)
    for result in study.results:
        assert result.policy.to_yaml() in said


def test_assumed_costs_are_told(page: Page, study: Comparison):
    costs, said = study.facts.costs, "".join(page.text)
    assert f"a support ticket ${costs.support_ticket:.2f}" in said
    assert f"an account taken over ${costs.takeover:.2f}" in said


def test_the_page_says_where_it_comes_from(page: Page, study: Comparison):
    told, said = provenance(study), "".join(page.text)
    assert told["seed"] == "3"
    assert told["fingerprint"] == study.facts.fingerprint
    assert f"twofa-lab {version('twofa-lab')}" in told["versions"]
    assert f"{study.facts.logins:,} logins" in told["traffic"]
    for name, value in told.items():
        assert name in said
        assert value in said


def test_the_same_study_gives_the_same_bits(text: str, study: Comparison, world: World):
    assert comparison_page(study) == text
    assert comparison_page(compare(world, progress=False)) == text
