"""Sliders over an explorer: every move plays the sample again and redraws one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from twofa_lab.risk.policy import Policy
from twofa_lab.widgets.explorer_figure import Picture

if TYPE_CHECKING:
    from twofa_lab.analysis.picture import Figure
    from twofa_lab.widgets.explorer import Explorer, Position

__all__ = ["SIGNALS", "Panel"]

SIGNALS = ("new_device", "new_country", "new_region", "odd_hour", "failed_burst")
"""Signals whose points have a slider; a new place is one signal with two grades."""


class Panel:
    """The sliders by name (`threshold`, `trust_days`, `timeout_seconds`, those of `SIGNALS`), the
    picture and the figures. `position` is where the sliders stand, `box` what is displayed.

    >>> import twofa_lab as lab
    >>> from twofa_lab.widgets.explorer import Explorer
    >>> panel = Explorer(lab.simulate("us-consumer", users=300, days=30, seed=1)).panel
    >>> panel.sliders["threshold"].value = 0.7
    >>> panel.position.policy.challenge_at
    0.7
    """

    def __init__(self, explorer: Explorer):
        self._explorer = explorer
        widest = explorer.at(threshold=0.0).result
        self._picture = Picture(explorer.start, widest)
        self.position: Position = explorer.at()
        self.image = widgets.Image(format="png")
        self.figures = widgets.HTML()
        self.sliders = _sliders(explorer.start.policy)
        for slider in self.sliders.values():
            slider.observe(self._moved, "value")
        self._draw()
        left = widgets.VBox([*self.sliders.values()])
        self.box = widgets.VBox([widgets.HBox([left, self.figures]), self.image])

    def plot(self) -> Figure:
        """The picture as it stands, as a figure of its own."""
        return Picture(self._explorer.start).show(self.position.result)

    def _moved(self, _: Any) -> None:
        at = {name: slider.value for name, slider in self.sliders.items()}
        points = {name: at.pop(name) for name in SIGNALS}
        self.position = self._explorer.at(points=points, **at)
        self._draw()

    def _draw(self) -> None:
        self.figures.value = self.position.table().to_html()
        self.image.value = self._picture.png(self.position.result)


def _sliders(policy: Policy) -> dict[str, Any]:
    """A slider for each setting, where the policy has it; its own value always fits."""
    highest = 1.0 if policy.deny_at is None else policy.deny_at  # a policy asks below it

    def slider(kind: Any, value: float, low: float, high: float, step: float, words: str) -> Any:
        layout, style = widgets.Layout(width="27em"), {"description_width": "11em"}
        return kind(value=value, min=low, max=max(high, value), step=step, description=words,
                    layout=layout, style=style)  # fmt: skip

    real = widgets.FloatSlider
    found = {"threshold": slider(real, policy.challenge_score, 0, highest, 0.01, "challenge at")}
    for name in SIGNALS:
        value, words = getattr(policy.points, name), f"points: {name.replace('_', ' ')}"
        found[name] = slider(real, value, 0, 1, 0.05, words)
    trust, seconds = policy.trust_device_days or 0.0, policy.fallback.timeout_seconds
    found["trust_days"] = slider(real, trust, 0, 90, 1, "trust a device, days")
    found["timeout_seconds"] = slider(real, seconds, 5, 120, 5, "next channel after, s")
    return found
