"""Traffic and a policy in, outcomes out: the closed loop, compiled."""

__all__: list[str] = []
