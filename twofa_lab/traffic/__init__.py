"""People, calendar, devices, networks, attackers; and readers of real logs."""

__all__: list[str] = []
