"""A two-factor login for real: sign-up, login, step-up, enrolment, recovery, over the store.

`service.Flow` bundles what everything here needs: the database, keys, a provider, a policy, the
clock and randomness. The other modules are functions over it; each does its network calls outside
of transactions, and each transaction leaves the account in a state that fails closed. Decisions
come from `twofa_lab.risk`, the very functions of the replay.
"""
