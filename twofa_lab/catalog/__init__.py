"""Facts with their sources: factors, channels, prices, published efficacy."""

__all__: list[str] = []
