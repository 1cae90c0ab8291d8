"""The examples that follow conventions receivers already have, each registered at a real gateway."""

import json
import os
import subprocess
import sys

from gateway import API_KEY, Failure, expect, wait_until
from receivers import SECRET, Receiver

PASSWORD = "bXktc3lzdGVtOm15LXNlY3JldA=="


def delivered(gateway, webhook, event, payload):
    """Hands an event to one webhook and waits for its delivery to end; returns that."""
    made = gateway.call("POST", "/events", {"event": event, "payload": payload, "webhook_id": webhook["id"]}, status=202)
    return ended(gateway, f"event_id={made['id']}")[0]


def ended(gateway, filters):
    def all_ended():
        rows = gateway.call("GET", f"/deliveries?{filters}")["data"]
        return rows if rows and all(row["completed_at"] for row in rows) else None

    return wait_until(all_ended, f"deliveries of {filters} did not end")


def arrives(gateway, receiver, webhook, wanted=("invoice.paid", '"invoice": 17')):
    """One event, sent twice, which the receiver must take both times and handle once."""
    delivery = delivered(gateway, webhook, "invoice.paid", {"invoice": 17})
    expect(delivery["status"] == "success", f"{receiver.name}: {delivery}")
    gateway.call("POST", f"/deliveries/{delivery['id']}/resend?force=true", status=202)
    again = wait_until(
        lambda: len(gateway.call("GET", f"/deliveries/{delivery['id']}")["attempts"]) == 2
        and ended(gateway, f"event_id={delivery['event_id']}")[0],
        f"{receiver.name}: no second attempt",
    )
    expect(again["status"] == "success", f"{receiver.name}: {again}")
    receiver.__exit__()
    handled = [line for line in receiver.output.splitlines() if all(part in line for part in wanted)]
    expect(len(handled) == 1, f"{receiver.name} handled {len(handled)} events, not 1:\n{receiver.output}")
    print(f"  {receiver.name}: registered, delivered, repeats folded")


def refuses(gateway, receiver, webhook, status):
    """A webhook whose secret is not the receiver's."""
    tested = gateway.call("POST", f"/webhooks/{webhook['id']}/test")
    expect(not tested["ok"] and tested["status_code"] == status, f"{receiver.name}: wrong secret: {tested}")


def secret_header(gateway, python, directory):
    script = "receiver_secret_header.py"
    with Receiver(script, [python, script], directory, SECRET_VALUE="my-secret-value-here") as receiver:
        webhook = {"url": receiver.url, "events": ["none.ever"], "secret_header": "X-Webhook-Secret"}
        right = gateway.call("POST", "/webhooks", {**webhook, "secret_value": "my-secret-value-here"}, status=201)
        wrong = gateway.call("POST", "/webhooks", {**webhook, "secret_value": "another-secret-value"}, status=201)
        refuses(gateway, receiver, wrong, 401)
        arrives(gateway, receiver, right)


def basic(gateway, python, directory):
    script = "receiver_basic.py"
    with Receiver(script, [python, script], directory, BASIC_KEY=PASSWORD) as receiver:
        webhook = {"url": receiver.url, "events": ["none.ever"], "secret_header": "Authorization", "verify": True}
        before = gateway.call("GET", "/webhooks?limit=500")["data"]
        try:
            gateway.call("POST", "/webhooks", {**webhook, "secret_value": "Basic d3Jvbmc="})
            raise Failure(f"{script}: a webhook with a wrong key was made")
        except Failure as failure:
            expect("400" in str(failure) and "401" in str(failure), f"{script}: registration: {failure}")
        after = gateway.call("GET", "/webhooks?limit=500")["data"]
        expect(len(after) == len(before), f"{script}: a refused registration left a webhook behind")
        right = gateway.call("POST", "/webhooks", {**webhook, "secret_value": f"Basic {PASSWORD}"}, status=201)
        arrives(gateway, receiver, right)
        expect("test message taken" in receiver.output, f"{script} saw no test message:\n{receiver.output}")


def envelope(gateway, directory):
    with Receiver("envelope.js", ["node", "envelope.js"], directory) as receiver:
        webhook = {"url": receiver.url, "events": ["none.ever"], "format": "envelope"}
        right = gateway.call("POST", "/webhooks", {**webhook, "signing_secret": SECRET}, status=201)
        refuses(gateway, receiver, gateway.call("POST", "/webhooks", webhook, status=201), 401)
        arrives(gateway, receiver, right, ("invoice.paid", '"invoice":17', "dlv_"))


def cloudevents(gateway, python, directory):
    script = "receiver_cloudevents.py"
    with Receiver(script, [python, script], directory) as receiver:
        webhook = {"url": receiver.url, "events": ["none.ever"], "format": "cloudevents"}
        right = gateway.call("POST", "/webhooks", {**webhook, "signing_secret": SECRET}, status=201)
        refuses(gateway, receiver, gateway.call("POST", "/webhooks", webhook, status=201), 401)
        tested = gateway.call("POST", f"/webhooks/{right['id']}/test?event=StartTransaction")
        expect(tested["ok"], f"{script}: test answered {tested}")
        arrives(gateway, receiver, right, ("invoice.paid", "'invoice': 17"))


def ingest(gateway, python, examples):
    """The four shapes of an event, each with a header of its own, and one sent twice under one key."""
    script = str(examples / "ingest.py")
    env = {**os.environ, "CHARGEHOOK_URL": gateway.api.removesuffix("/api/v1"), "CHARGEHOOK_API_KEY": API_KEY}

    def run(*arguments):
        done = subprocess.run([python, script, *arguments], env=env, capture_output=True, text=True, timeout=60)
        return done.returncode, (json.loads(done.stdout) if done.returncode == 0 else done.stderr)

    directory = examples / "receiver-python"
    with Receiver("ingest.py", [python, "receiver_plain.py"], directory) as receiver:
        webhook = {"url": receiver.url, "events": ["ticket.*"], "signing_secret": SECRET}
        directed = gateway.call("POST", "/webhooks", {**webhook, "events": ["none.ever"]}, status=201)
        gateway.call("POST", "/webhooks", webhook, status=201)
        gateway.call("POST", "/webhooks", {**webhook, "owner_id": "acme"}, status=201)
        shapes = [
            (1, ["--webhook", str(directed["id"])]),
            (2, ["--owner", "acme"]),
            (2, ["--broadcast"]),
            (1, ["--to", receiver.url, "--secret", SECRET]),
        ]
        for number, (deliveries, target) in enumerate(shapes):
            arguments = ["ticket.opened", f'{{"ticket": {number}}}', *target, "--header", "x-shape: " + target[0]]
            arguments += ["--idempotency-key", f"ticket-{number}"]
            code, answer = run(*arguments)
            expect(code == 0 and not answer["duplicate"], f"{target}: {code} {answer}")
            expect(answer["deliveries"] == deliveries, f"{target}: {answer}")
            for delivery in ended(gateway, f"event_id={answer['id']}"):
                expect(delivery["status"] == "success", f"{target}: {delivery}")
            code, answer = run(*arguments)
            expect(code == 0 and answer["duplicate"] and answer["deliveries"] == 0, f"{target} again: {code} {answer}")
        code, told = run("Boot Notification", "{}", "--broadcast")
        expect(code == 1 and told.startswith("422") and "event:" in told, f"a wrong name: {code} {told}")
    # The same event reaches a receiver through two webhooks under one id, and counts once.
    handled = receiver.output.count("ticket.opened")
    expect(handled == len(shapes), f"ingest.py: {handled} events were handled, not {len(shapes)}:\n{receiver.output}")
    print("  ingest.py: four targets, repeats told, a wrong name explained")


def check(gateway, examples, node_directory, python=sys.executable):
    directory = examples / "receiver-python"
    secret_header(gateway, python, directory)
    basic(gateway, python, directory)
    envelope(gateway, node_directory)
    cloudevents(gateway, python, directory)
    ingest(gateway, python, examples)
