"""When to ask: the signal step, scorers, policy and explanation.

The functions here are called by the replay of millions of logins and by the real flow of one
login alike; nothing else in the package decides when to ask for a second factor.
"""

__all__: list[str] = []
