"""What a person moves in a notebook."""

__all__: list[str] = []
