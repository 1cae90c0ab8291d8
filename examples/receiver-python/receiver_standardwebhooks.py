"""A webhook receiver to copy, with the `standardwebhooks` package.

    pip install -r requirements.txt
    WEBHOOK_SECRET=whsec_... python receiver_standardwebhooks.py

WEBHOOK_SECRET is the `signing_secret` of the webhook; PORT is 4000 unless set.
"""

import json
import os
import queue
import threading

from flask import Flask, request
from standardwebhooks.webhooks import Webhook

app = Flask(__name__)
webhook = Webhook(os.environ["WEBHOOK_SECRET"])

# The ids seen so far. In production: a unique column in your database, written in the same
# transaction as what the event changes, so that it survives a restart.
seen = set()
lock = threading.Lock()
inbox = queue.Queue(maxsize=1000)


@app.post("/")
def receive():
    body = request.get_data()  # the raw bytes: the signature is over exactly what was sent
    try:
        # Checks the signature in constant time, and that the timestamp is within five minutes.
        webhook.verify(body, dict(request.headers), json_parse=False)
    except Exception as error:  # whatever it could not read is not genuine either
        return f"not genuine: {error}\n", 401

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
