"""Interoperability: programs that know nothing of chargehook work against it unchanged.

    python run.py GATEWAY RECEIVER NODE_RECEIVER NODE_CHARGE_POINT

GATEWAY is the built `chargehook`, RECEIVER the built `examples/receiver.rs`, NODE_RECEIVER a copy of
`examples/receiver-node` after `npm install`, NODE_CHARGE_POINT one of `tests/interop/ocpp-rpc`. Needs the
packages of requirements.txt and the program `openssl`. Exits 1 and says why if something does not work.
"""

import base64
import hashlib
import hmac
import json
import logging
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import certificates
import charge_point
import commands
import conventions
import receivers
from gateway import Failure, Gateway, expect, wait_until
from standardwebhooks.webhooks import Webhook

STATION = "INTEROP_1"
NODE_STATION = "INTEROP_2"


class Inbox:
    """A webhook endpoint that keeps what it gets; used as a context manager."""

    def __init__(self):
        self.deliveries = deliveries = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                deliveries.append((dict(self.headers), body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()

    def events(self):
        return [json.loads(body) for _, body in list(self.deliveries)]


def verify(secret, headers, body):
    """The package checks the standard signature; the plain one is recomputed here."""
    Webhook(secret).verify(body, headers)
    lower = {name.lower(): value for name, value in headers.items()}
    key = base64.b64decode(secret.removeprefix("whsec_"))
    plain = hmac.new(key, f"{lower['x-webhook-timestamp']}.".encode() + body, hashlib.sha256).hexdigest()
    expect(lower["x-webhook-signature"] == f"sha256={plain}", f"plain signature of {body!r}")
    event = json.loads(body)
    expect(lower["webhook-id"] == event["id"], f"webhook-id of {body!r}")
    expect(lower["x-webhook-event"] == event["event"], f"X-Webhook-Event of {body!r}")


def python_charge_point(gateway):
    """A charger made with the package `ocpp`, what an integrator gets of it, and what it is told to do."""
    with Inbox() as inbox:
        webhook = gateway.call("POST", "/webhooks", {"url": inbox.url, "events": ["ocpp.*"]}, status=201)
        with charge_point.Running(gateway.ocpp, STATION) as running:
            transaction_id = running.transaction_id
            print(f"  ocpp: booted, charged and stopped as transaction {transaction_id}")
            wait_until(
                lambda: len(inbox.deliveries) >= len(charge_point.EVENTS),
                f"not every event was delivered: {inbox.events()}",
            )
            for headers, body in inbox.deliveries:
                verify(webhook["signing_secret"], headers, body)
            events = {event["event"]: event for event in inbox.events()}
            expect(sorted(events) == sorted(charge_point.EVENTS), f"delivered were {sorted(events)}")
            for name in ("StartTransaction", "StopTransaction"):
                expect(events[name]["payload"]["transactionId"] == transaction_id, f"the number in {name}")
            expect(all(event["station_id"] == STATION for event in events.values()), "the station")
            print(f"  standardwebhooks: {len(inbox.deliveries)} deliveries verified")
            listed = gateway.call("GET", f"/events?station_id={STATION}&event=ocpp.*&order=asc")["data"]
            expect([event["event"] for event in listed] == charge_point.EVENTS, f"listed are {listed}")
            charged(gateway, transaction_id)
            print(f"  ocpp: obeyed {commands.obeys(gateway, STATION)} commands")
        gateway.call("DELETE", f"/webhooks/{webhook['id']}", status=204)


def charged(gateway, transaction_id):
    transaction = gateway.call("GET", f"/transactions/{transaction_id}")
    expect(transaction["status"] == "completed", f"{transaction}")
    expect(transaction["energy_wh"] == 7400, f"{transaction}")


def node_charge_point(gateway, directory):
    """A charger made with the package `ocpp-rpc`, which holds every message against schemas of its own."""
    process = subprocess.Popen(
        ["node", "charge_point.js", gateway.ocpp, NODE_STATION],
        cwd=directory,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        lines, errors = [], []
        threading.Thread(target=lambda: lines.extend(process.stdout), daemon=True).start()
        complaint = threading.Thread(target=lambda: errors.extend(process.stderr), daemon=True)
        complaint.start()
        wait_until(lambda: len(lines) >= 2 or process.poll() is not None, "the Node charge point did not charge")
        expect(process.poll() is None, f"the Node charge point: {''.join(errors)}")
        transaction_id = json.loads(lines[0])["transaction_id"]
        charged(gateway, transaction_id)
        print(f"  ocpp-rpc: booted, charged and stopped as transaction {transaction_id}")
        print(f"  ocpp-rpc: obeyed {commands.obeys(gateway, NODE_STATION)} commands")
        process.stdin.close()
        code = process.wait(timeout=30)
        complaint.join(timeout=5)
        expect(code == 0, f"the Node charge point ended with {code}: {''.join(errors)}")
    finally:
        process.kill()


def main(binary, rust_receiver, node_receiver, node_directory):
    # The package reports what it refuses as an error, with a traceback.
    logging.getLogger("ocpp").setLevel(logging.CRITICAL)
    examples = Path(__file__).resolve().parents[2] / "examples"
    with Gateway(binary) as gateway:
        python_charge_point(gateway)
        node_charge_point(gateway, node_directory)
        receivers.check(examples, sys.executable, node_receiver, rust_receiver, gateway)
        conventions.check(gateway, examples, Path(node_receiver))
    certificates.check(binary)
    print("interoperability: all of it works")


if __name__ == "__main__":
    try:
        main(*(str(Path(argument).resolve()) for argument in sys.argv[1:]))
    except Failure as failure:
        sys.exit(f"interoperability: {failure}")
