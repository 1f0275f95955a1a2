"""Facts with their sources: factors, channels, prices, published efficacy, compliance."""

__all__: list[str] = []
