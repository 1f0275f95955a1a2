"""Pages a person takes to a meeting."""

__all__: list[str] = []
