"""Second factors as pure functions: no database, no clock, no key of their own.

Time comes in as `now_ms` (milliseconds since 1970 UTC, server time only), randomness as a callable,
keys as a `KeyedHash`. A function tells what it found; making it true exactly once is the store's
part, by one conditional UPDATE whose row count decides (1: it was us; 0: somebody was faster):

| factor        | before the check                          | after a match |
| ------------- | ----------------------------------------- | ------------- |
| OTP           | `attempts = attempts + 1` where           | `consumed = true` where not |
|               | `attempts < max_attempts`, not consumed   | `consumed` |
| TOTP          | count the attempt                         | `last_step = :step` where `< :step` |
| passkey       | consume the challenge (row count 1)       | `sign_count = :new` where `< :new`, |
|               |                                           | or both are 0 |
| push          | -                                         | `answered = true` where not |
|               |                                           | `answered` |
| recovery code | count the attempt                         | `used_at = :now` where it is null |
|               |                                           | and the set is the current one |
| saved code    | count the attempt                         | the same, and issue the next one |

Attempts count against the challenge *and* the account, and neither a resend nor a new challenge
resets the account's count (NIST SP 800-63B-4 §3.1.3.2, §3.2.2).
"""
