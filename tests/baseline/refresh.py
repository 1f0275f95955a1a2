"""Write the baseline anew: `make baseline`. CHANGELOG.md must then say why numbers changed."""

from __future__ import annotations

import json

import twofa_lab as lab
from tests.baseline.headline import FROZEN, headline

if __name__ == "__main__":
    figures = {name: headline(name) for name in lab.scenario_names()}
    text = json.dumps(figures, indent=1).replace("NaN", "null")
    FROZEN.write_text(text + "\n", encoding="utf-8")
