"""The compiled replay and the plan are one set of rules in two places; here they meet."""

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np

from twofa_lab.delivery.plan import CODE_LIFE_DS, FallbackPlan, timeline
from twofa_lab.replay.challenge import Means, Terms, answer_challenge
from twofa_lab.tables import CHANNELS, FACTORS, NEVER

ORDERS = (("whatsapp", "sms", "voice"), ("sms", "whatsapp"), ("voice", "sms"), ("whatsapp",))
PRICES = np.array([0, 1, 1, 1])


class Row(NamedTuple):
    plan: FallbackPlan
    line_type: str
    whatsapp: bool
    delays: dict[str, int | None]
    resend: int | None
    wants_resend: bool
    entry: int
    patience: int

    @property
    def usable(self) -> tuple[str, ...]:
        return self.plan.usable(self.line_type, whatsapp=self.whatsapp)


def rows() -> Iterator[Row]:
    rng = np.random.default_rng(20_260_101)
    for channels, whatsapp, line_type in product(
        ORDERS, (True, False), ("mobile", "landline", "voip")
    ):
        for _ in range(400):
            # up to the longest timeout a policy may have, where the code dies before the plan ends
            seconds, reach = ((5, 200), (30, 1100), (300, 7000))[int(rng.integers(3))]
            delays = [None if rng.random() < 0.35 else int(rng.integers(1, reach)) for _ in "123"]
            yield Row(
                FallbackPlan(channels, seconds),
                line_type,
                whatsapp,
                dict(zip(("whatsapp", "sms", "voice"), delays, strict=True)),
                None if rng.random() < 0.3 else int(rng.integers(1, 400)),
                bool(rng.random() < 0.7),
                int(rng.integers(0, 400)),
                int(rng.integers(1, reach * 3 // 2)),
            )


def replayed(row: Row) -> tuple[int, int, str]:
    delays = (*(row.delays[channel] for channel in ("whatsapp", "sms", "voice")), row.resend)
    means = Means(
        *(NEVER if delay is None else delay for delay in delays),
        entry_ds=row.entry,
        patience_ds=row.patience,
        wrong_codes=0,
        phone_at_hand=True,
        resends=row.wants_resend,
        passkey_works=True,
        defeats=0,
        is_attack=False,
        has_whatsapp=row.whatsapp,
        has_text=row.line_type != "landline",
        factors=1 << FACTORS.index("otp"),
    )
    codes = np.array([CHANNELS.index(channel) for channel in row.plan.channels])
    terms = Terms(codes, PRICES, row.plan.timeout_ds, True, 0, 0)
    answer = answer_challenge(means, terms, 0, 5, 0, np.zeros(1, np.int64))
    return answer.messages, answer.seconds_ds, CHANNELS[answer.channel]


def planned(row: Row) -> tuple[int, int, str]:
    played = timeline(
        row.usable,
        row.plan.timeout_ds,
        delays_ds=row.delays,
        resend_delay_ds=row.resend,
        wants_resend=row.wants_resend,
        patience_ds=row.patience,
        entry_ds=row.entry,
    )
    in_time = played.arrives_ds is not None and played.arrives_ds <= min(row.patience, CODE_LIFE_DS)
    return len(played.sends), played.leaves_ds, str(played.used) if in_time else "none"


def test_replay_and_plan_give_the_same_messages_time_and_channel() -> None:
    compared = [(replayed(row), planned(row)) for row in rows()]
    assert len(compared) == 9600
    resends = [pair for row, pair in zip(rows(), compared, strict=True)
               if pair[0][0] > len(row.usable)]  # fmt: skip
    assert len(resends) > 500
    assert [pair for pair in compared if pair[0] != pair[1]] == []
