"""Events of your own through chargehook's deliveries: to copy into the system that makes them.

    CHARGEHOOK_API_KEY=… python ingest.py invoice.paid '{"invoice": 17}' --webhook 3
    CHARGEHOOK_API_KEY=… python ingest.py invoice.paid '{"invoice": 17}' --owner acme
    CHARGEHOOK_API_KEY=… python ingest.py invoice.paid '{"invoice": 17}' --broadcast
    CHARGEHOOK_API_KEY=… python ingest.py invoice.paid '{"invoice": 17}' --to https://example.com/hook

One event has one target: a webhook, an owner's webhooks, all that subscribe to it, or a URL that no
webhook was made for (`--secret whsec_…` signs it). `--header name:value` goes along to the receivers,
`--idempotency-key KEY` makes it safe to send again.
The gateway is the one in CHARGEHOOK_URL, or http://127.0.0.1:8080. Python's own library only.
"""

import argparse
import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid

TRIES = 5


class Refused(Exception):
    """The gateway understood and said no; sending the same again would not help."""


def ingest(event, payload, target, idempotency_key=None, custom_headers=None, station_id=None):
    """Hands an event over.

    `target` is one of {"webhook_id"}, {"owner_id"}, {"broadcast": True}, {"url", "secret"}. Returns
    {"id", "deliveries", "duplicate"} once the gateway has it on disk. Until then it is yours: what cannot be
    reached is tried again under the same key, which makes of many tries one event with deliveries.
    """
    body = {"event": event, "payload": payload, **target}
    body["idempotency_key"] = idempotency_key or str(uuid.uuid4())
    if custom_headers:
        body["custom_headers"] = custom_headers
    if station_id:
        body["station_id"] = station_id
    request = urllib.request.Request(
        os.environ.get("CHARGEHOOK_URL", "http://127.0.0.1:8080") + "/api/v1/events",
        data=json.dumps(body).encode(),
        headers={"X-API-Key": os.environ["CHARGEHOOK_API_KEY"], "Content-Type": "application/json"},
    )
    for attempt in range(TRIES):
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code not in (429, 500, 502, 503, 504):
                raise Refused(explain(error)) from None
            reason, wait = explain(error), error.headers.get("Retry-After", "")
        except OSError as error:
            reason, wait = str(error), ""
        if attempt + 1 < TRIES:
            time.sleep(int(wait) if wait.isdecimal() else 2**attempt)
    raise ConnectionError(f"not handed over after {TRIES} tries: {reason}")


def explain(error):
    """A problem document (RFC 9457) in a line."""
    try:
        problem = json.load(error)
        fields = "; ".join(f"{wrong['field']}: {wrong['message']}" for wrong in problem.get("errors", []))
        return f"{error.code} {problem.get('detail') or problem.get('title')} {fields}".strip()
    except (ValueError, AttributeError):
        return f"{error.code} {error.reason}"


def main():
    usage, _, rest = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(description=usage, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("event", help="a name with a dot in it, such as invoice.paid")
    parser.add_argument("payload", type=json.loads, help="JSON")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--webhook", type=int, metavar="ID")
    target.add_argument("--owner", metavar="OWNER")
    target.add_argument("--broadcast", action="store_true")
    target.add_argument("--to", metavar="URL")
    parser.add_argument("--secret", help="signs what goes to a URL; without one it is unsigned")
    parser.add_argument("--header", action="append", default=[], metavar="NAME:VALUE")
    parser.add_argument("--idempotency-key", metavar="KEY")
    parser.add_argument("--station", metavar="STATION_ID")
    given = parser.parse_args()
    if given.secret and not given.to:
        parser.error("--secret belongs to --to; webhooks have their own")

    if given.webhook is not None:
        to = {"webhook_id": given.webhook}
    elif given.owner is not None:
        to = {"owner_id": given.owner}
    elif given.to is not None:
        to = {"url": given.to, **({"secret": given.secret} if given.secret else {})}
    else:
        to = {"broadcast": True}
    headers = {name.strip(): value.strip() for name, _, value in (text.partition(":") for text in given.header)}
    try:
        print(json.dumps(ingest(given.event, given.payload, to, given.idempotency_key, headers, given.station)))
    except (Refused, ConnectionError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
