from __future__ import annotations

import subprocess
import sys
from xml.etree import ElementTree as ET

from twofa_lab.catalog.compliance import compliance_table
from twofa_lab.catalog.factors import factor_table, recovery_table
from twofa_lab.catalog.render import FactTable

TABLE = FactTable("A < B", ("name", "text"), (("x", "<script>"), ("yy", "a & b")), ("note > 1",))


def test_html_escapes_what_it_shows() -> None:
    html = TABLE._repr_html_()
    assert "<script>" not in html
    root = ET.fromstring(f"<div>{html}</div>")  # noqa: S314 - our own text
    assert [cell.text for cell in root.iter("td")] == ["x", "<script>", "yy", "a & b"]
    assert root.findtext(".//caption") == "A < B"
    assert root.findtext(".//small") == "note > 1"


def test_every_table_renders_three_ways() -> None:
    for table in (factor_table(), recovery_table(), compliance_table()):
        rows = len(table.rows)
        assert len(table.to_pandas()) == rows
        root = ET.fromstring(f"<div>{table._repr_html_()}</div>")  # noqa: S314 - our own text
        assert len(list(root.iter("tr"))) == rows + 1
        assert str(table).count("\n") == rows + 1 + len(table.notes)


def test_text_lines_up() -> None:
    assert str(TABLE).splitlines() == ["A < B", "name  text", "x     <script>", "yy    a & b",
                                       "note > 1"]  # fmt: skip


def test_the_catalogue_does_not_load_pandas() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, twofa_lab.catalog.compliance; print('pandas' in sys.modules)",
        ],
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stdout.strip() == "False"
