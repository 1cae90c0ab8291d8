"""The receivers under `examples/`, each started as its reader would start it."""

import base64
import hashlib
import hmac
import os
import secrets
import socket
import subprocess
import time
import urllib.error
import urllib.request

from gateway import Failure, expect, wait_until

SECRET = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


class Receiver:
    """One example program on a free port; used as a context manager."""

    def __init__(self, name, command, directory, **env):
        self.name, self.command, self.directory, self.env = name, command, directory, env
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"

    def __enter__(self):
        env = {**os.environ, "WEBHOOK_SECRET": SECRET, "PORT": str(self.port), **self.env}
        self.process = subprocess.Popen(
            self.command, cwd=self.directory, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            wait_until(self.listens, f"{self.name} does not listen")
        except Failure:
            self.__exit__()
            raise
        return self

    def listens(self):
        if self.process.poll() is not None:
            raise Failure(f"{self.name} ended:\n{self.process.stdout.read()}")
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        except OSError:
            return False

    def __exit__(self, *_):
        self.process.terminate()
        self.output, _ = self.process.communicate(timeout=10)

    def post(self, body, headers):
        request = urllib.request.Request(self.url, data=body, headers=headers, method="POST")
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status
        except urllib.error.HTTPError as refused:
            return refused.code


def signed(body, event_id, timestamp=None, key=base64.b64decode(SECRET.removeprefix("whsec_"))):
    """The headers of a webhook, made by hand."""
    timestamp = str(int(time.time()) if timestamp is None else timestamp)
    standard = hmac.digest(key, f"{event_id}.{timestamp}.".encode() + body, hashlib.sha256)
    plain = hmac.digest(key, f"{timestamp}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": event_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": "v1," + base64.b64encode(standard).decode(),
        "X-Webhook-Timestamp": timestamp,
        "X-Webhook-Signature": "sha256=" + plain.hex(),
    }


def by_hand(receiver):
    """Rightly and wrongly signed requests."""
    body = '{"event": "Heartbeat", "station_id": "WALLBOX_é", "payload": {}}'.encode()
    right = signed(body, "evt_1")
    old, ahead = time.time() - 600, time.time() + 600
    rotated = {**right, "webhook-id": "evt_2"}
    rotated["webhook-signature"] = (
        signed(body, "evt_2", key=b"another secret")["webhook-signature"]
        + " "
        + signed(body, "evt_2")["webhook-signature"]
    )
    cases = [
        ("a genuine event", body, right, {200}),
        ("the same one again", body, right, {200}),
        ("two secrets while one is replaced", body, rotated, {200}),
        ("another body", body.replace(b"{}", b"{ }"), right, {401}),
        ("another id", body, {**right, "webhook-id": "evt_3"}, {401}),
        ("another secret", body, signed(body, "evt_4", key=b"another secret"), {401}),
        ("ten minutes old", body, signed(body, "evt_5", timestamp=int(old)), {401}),
        ("ten minutes ahead", body, signed(body, "evt_6", timestamp=int(ahead)), {401}),
        ("an unreadable timestamp", body, signed(body, "evt_7", timestamp="soon"), {400, 401}),
        ("an unreadable signature", body, {**right, "webhook-signature": "v1,?? nonsense"}, {401}),
        ("no signature", body, {}, {400, 401}),
    ]
    for what, content, headers, wanted in cases:
        status = receiver.post(content, headers)
        expect(status in wanted, f"{receiver.name} answered {status} to {what}, not {wanted}")


def by_gateway(receiver, gateway):
    """Real deliveries, with the right secret and with another one."""
    webhook = {"name": receiver.name, "url": receiver.url, "signing_secret": SECRET, "events": ["invoice.*"]}
    right = gateway.call("POST", "/webhooks", webhook, status=201)
    del webhook["signing_secret"]
    other = gateway.call("POST", "/webhooks", webhook, status=201)
    tested = gateway.call("POST", f"/webhooks/{right['id']}/test?event=StartTransaction")
    expect(tested["ok"] and tested["status_code"] == 200, f"{receiver.name}: test answered {tested}")
    refused = gateway.call("POST", f"/webhooks/{other['id']}/test")
    expect(not refused["ok"], f"{receiver.name} took a test with another secret: {refused}")


def check(examples, python, node_directory, rust_receiver, gateway=None):
    """Tries every example, by hand and, given a gateway, with real deliveries. Returns how many."""
    receivers = [
        Receiver("receiver.rs", [rust_receiver], examples),
        Receiver("receiver_plain.py", [python, "receiver_plain.py"], examples / "receiver-python"),
        Receiver(
            "receiver_standardwebhooks.py",
            [python, "receiver_standardwebhooks.py"],
            examples / "receiver-python",
        ),
        Receiver("receiver.js", ["node", "receiver.js"], node_directory),
    ]
    for receiver in receivers:
        with receiver:
            by_hand(receiver)
            if gateway:
                by_gateway(receiver, gateway)
        handled = receiver.output.count("WALLBOX_é")
        expect(handled == 2, f"{receiver.name} handled {handled} events, not 2:\n{receiver.output}")
        print(f"  {receiver.name}: verifies, refuses and folds repeats")
    return len(receivers)
