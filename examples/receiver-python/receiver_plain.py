"""A webhook receiver to copy, with Flask and Python's own library.

    pip install flask
    WEBHOOK_SECRET=whsec_... python receiver_plain.py

WEBHOOK_SECRET is the `signing_secret` of the webhook; PORT is 4000 unless set.
"""

import base64
import hashlib
import hmac
import json
import os
import queue
import threading
import time

from flask import Flask, request

app = Flask(__name__)
# The key is not the text: it is the bytes that the base64 after whsec_ stands for.
KEY = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))
# How far the sender's clock may be from ours: what is older may be a replay.
TOLERANCE_S = 5 * 60

# The ids seen so far. In production: a unique column in your database, written in the same
# transaction as what the event changes, so that it survives a restart.
seen = set()
lock = threading.Lock()
inbox = queue.Queue(maxsize=1000)


def is_genuine_standard(headers, body):
    """Standard Webhooks: HMAC-SHA256 over `id.timestamp.body` in base64, one per valid secret."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = b"v1," + base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256))
    # compare_digest takes the same time whatever differs, so it gives no hints to a forger.
    return any(
        hmac.compare_digest(expected, signature.encode())
        for signature in headers["webhook-signature"].split(" ")
    )


def is_genuine_plain(headers, body):
    """The plain form: HMAC-SHA256 over `timestamp.body`, in hex after `sha256=`."""
    signed = f"{headers['x-webhook-timestamp']}.".encode() + body
    expected = "sha256=" + hmac.new(KEY, signed, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), headers["x-webhook-signature"].encode())


def is_fresh(timestamp):
    return timestamp.isdecimal() and abs(time.time() - int(timestamp)) <= TOLERANCE_S


@app.post("/")
def receive():
    body = request.get_data()  # the raw bytes: the signature is over exactly what was sent
    needed = ("webhook-id", "webhook-timestamp", "webhook-signature")
    if any(name not in request.headers for name in needed):
        return "a signature header is missing\n", 400
    if not is_fresh(request.headers["webhook-timestamp"]):
        return "timestamp too far from now\n", 401
    if not is_genuine_standard(request.headers, body):
        return "wrong webhook-signature\n", 401
    # One of the two is enough; chargehook sends both, over the same timestamp.
    if "x-webhook-signature" in request.headers:
        if not is_fresh(request.headers.get("x-webhook-timestamp", "")):
            return "timestamp too far from now\n", 401
        if not is_genuine_plain(request.headers, body):
            return "wrong X-Webhook-Signature\n", 401

    # At-least-once: the same event can come twice, always under the same webhook-id.
    event_id = request.headers["webhook-id"]
    with lock:
        if event_id in seen:
            return "seen before\n"
        try:
            # Answer first, work later: what takes longer than the webhook's timeout is sent again.
            inbox.put_nowait(body)
        except queue.Full:
            return "inbox full, send again\n", 503
        seen.add(event_id)
    return "ok\n"


def work():
    while True:
        event = json.loads(inbox.get())
        print(event.get("event"), "from", event.get("station_id"), event.get("payload"), flush=True)


if __name__ == "__main__":
    threading.Thread(target=work, daemon=True).start()
    app.run(port=int(os.environ.get("PORT", "4000")))
