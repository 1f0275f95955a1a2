"""Threshold studies, policy comparison, realism: results that render and plot themselves."""

__all__: list[str] = []
