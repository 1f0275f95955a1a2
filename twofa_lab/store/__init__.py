"""The database of the real flow: accounts, authenticators, challenges, history, audit chain.

`engine` connects, `migrations` brings the tables up to date, `schema` says what they are. The other
modules are atomic operations over a connection: each decides by one conditional statement, so that
two requests at the same time cannot both win. `audit` is the hash-chained record of all of it and
`keyring` encrypts what must not be read from a stolen file.

Locks are always taken in one order: account, authenticator, challenge, everything else, and
`audit.append` last.
"""
