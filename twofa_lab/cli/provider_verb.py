"""The verb `provider`: a verification provider on this machine, until Ctrl-C."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twofa_lab.cli.verbs import Json, show

if TYPE_CHECKING:
    from twofa_lab.delivery.local_provider import LocalProvider

__all__ = ["provider"]

_ENDS = (signal.SIGINT, signal.SIGTERM)
_POLL_SECONDS = 0.1
_WEBHOOKS = "Post webhooks in this dialect to a URL on this machine."


def provider(
    port: Annotated[int, typer.Option(help="0: any free one.", min=0, max=65_535)] = 0,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME[:TIMES][@OPERATION], as 429:2@send; repeatable. See --list-faults."
        ),
    ] = None,
    list_faults: Annotated[
        bool, typer.Option("--list-faults", help="Say what each fault does, and end.")
    ] = False,
    seed: Annotated[
        int, typer.Option(help="Same seed, same fates of messages.", min=0, max=2**63 - 1)
    ] = 7,
    twilio_webhooks: Annotated[str | None, typer.Option(metavar="URL", help=_WEBHOOKS)] = None,
    vonage_webhooks: Annotated[str | None, typer.Option(metavar="URL", help=_WEBHOOKS)] = None,
    as_json: Json = False,
) -> None:
    """Run a provider that speaks Twilio Verify v2, Vonage Verify v2 and VerifyNow v3, here only.

    A simulated carrier delivers (published shares and times by country), the handset's inbox shows
    what arrived. Credentials are new at each start. Ends with Ctrl-C.
    """
    from twofa_lab.delivery.carrier import SimulatedCarrier
    from twofa_lab.delivery.local.faults import FAULTS, parse_fault
    from twofa_lab.delivery.local_provider import serve

    if list_faults:
        lines = [f"{name:21}{does}" for name, does in FAULTS.items()]
        return show(as_json, FAULTS, "\n".join(lines))
    faults = [parse_fault(text) for text in fault or ()]
    with (
        _until_asked_to_end() as wait,
        serve(
            SimulatedCarrier(seed),
            port=port,
            faults=faults,
            vonage_webhooks=vonage_webhooks,
            twilio_webhooks=twilio_webhooks,
        ) as running,
    ):
        content = _addresses(running)
        show(as_json, content, _text(content))
        sys.stdout.flush()
        wait()
    return None


@contextmanager
def _until_asked_to_end() -> Iterator[Callable[[], None]]:
    """A wait for Ctrl-C or SIGTERM, neither of which then comes in the middle of something."""
    asked: list[int] = []
    before = {number: signal.signal(number, lambda got, _: asked.append(got)) for number in _ENDS}

    def wait() -> None:
        while not asked:
            time.sleep(_POLL_SECONDS)

    try:
        yield wait
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _addresses(running: LocalProvider) -> dict[str, Any]:
    """Every URL that answers, with the credentials of this run."""
    url, hidden = running.url, running.secrets
    return {
        "url": url,
        "twilio": {
            "url": f"{url}/v2/Services/{hidden.twilio.service_sid}/Verifications",
            "account_sid": hidden.twilio.account_sid,
            "service_sid": hidden.twilio.service_sid,
            "auth_token": hidden.twilio.auth_token,
        },
        "vonage": {
            "url": f"{url}/v2/verify",
            "api_key": hidden.vonage.api_key,
            "api_secret": hidden.vonage.api_secret,
            "application_id": hidden.vonage_application_id,
            "signature_secret": hidden.vonage_signature_secret,
        },
        "verifynow": {
            "url": f"{url}/verification/v3/send",
            "customer_id": hidden.verifynow.customer_id,
            "email": hidden.verifynow.email,
            "password": hidden.verifynow.password,
        },
        "sim_swap": {"url": f"{running.sim_swap_url}/check", "token": hidden.sim_swap_token},
        "inbox": {"url": f"{url}/handset/messages", "token": hidden.handset_token},
    }


def _text(content: dict[str, Any]) -> str:
    """A line a URL, and how to read a phone's messages."""
    lines = []
    for name, facts in content.items():
        if name != "url":
            shown = [f"{key}={value}" for key, value in facts.items() if key != "url"]
            lines.append(f"{name:10} {facts['url']}  {' '.join(shown)}")
    inbox = content["inbox"]
    example = f"{inbox['url']}?number=%2B447400123456"
    return "\n".join([
        f"Listening on {content['url']}, for this machine only. Ctrl-C ends it.",
        *lines,
        f"Read a phone: curl -H 'Authorization: Bearer {inbox['token']}' '{example}'",
    ])  # fmt: skip
