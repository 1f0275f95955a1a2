"""A comparison as one self-contained HTML page: it opens offline and prints well."""

from __future__ import annotations

import io
import platform
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

if TYPE_CHECKING:
    from twofa_lab.analysis.comparison import Comparison
    from twofa_lab.analysis.picture import Figure

__all__ = ["comparison_page", "figure_svg"]


def comparison_page(study: Comparison) -> str:
    """The whole page as text: decision, tables, figures, claims, and where it all comes from."""
    environment = Environment(
        loader=PackageLoader("twofa_lab.analysis", "templates"), autoescape=True
    )
    figures = [
        ("Trade-off", study.plot()),
        ("Funnel", study.plot_funnel()),
        ("Cost", study.plot_cost()),
        ("Attacks", study.plot_attacks()),
    ]
    sheets = (study.table(), study.paired(), study.attacks(), study.claims_table())
    return environment.get_template("comparison.html.j2").render(
        study=study,
        sentence=study.sentence(),
        figures=[(name, Markup(figure_svg(figure))) for name, figure in figures],  # noqa: S704 - ours
        sheets=[Markup(replace(sheet, note="").to_html()) for sheet in sheets],  # noqa: S704 - escaped
        policies=[(r.name, r.policy.to_yaml()) for r in study.results],
        costs=study.facts.costs,
        provenance=provenance(study),
    )


def figure_svg(figure: Figure) -> str:
    """A figure as an inline SVG element, the same bits for the same figure."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "twofa-lab", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": "twofa-lab"})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def provenance(study: Comparison) -> dict[str, str]:
    """Where the figures come from: data, seed, versions."""
    f = study.facts
    start, end = (datetime.fromtimestamp(ms / 1000, tz=UTC).date() for ms in f.window)
    return {
        "traffic": f"{f.name}, {f.users:,} accounts, {f.days} days ({start} to {end}), "
        f"{f.logins:,} logins",
        "human side": f.human_side,
        "seed": str(f.seed),
        "fingerprint": f.fingerprint,
        "versions": f"twofa-lab {version('twofa-lab')}, numpy {version('numpy')}, "
        f"numba {version('numba')}, Python {platform.python_version()}",
    }
