"""A webhook receiver to copy, with Flask and the `cloudevents` package.

    pip install -r requirements.txt
    WEBHOOK_SECRET=whsec_... python receiver_cloudevents.py

The webhook for it is made with `"format": "cloudevents"`. WEBHOOK_SECRET is its `signing_secret`; PORT is
4000 unless set.
"""

import os

from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from flask import Flask, request
from standardwebhooks.webhooks import Webhook

app = Flask(__name__)
webhook = Webhook(os.environ["WEBHOOK_SECRET"])

# What has been seen so far: source and id together name an event (CloudEvents 1.0, "id"). In production: a
# unique column in your database, written in the same transaction as what the event changes.
seen = set()


@app.post("/")
def receive():
    body = request.get_data()  # the raw bytes: the signature is over exactly what was sent
    headers = dict(request.headers)
    try:
        # CloudEvents says nothing of who may send them; the signature does.
        webhook.verify(body, headers, json_parse=False)
    except Exception as error:  # whatever it could not read is not genuine either
        return f"not genuine: {error}\n", 401
    try:
        event = from_http_event(HTTPMessage(headers=headers, body=body))
    except Exception as error:  # the package names many
        return f"not a CloudEvent: {error}\n", 400
    name = (event.get_source(), event.get_id())
    if name not in seen:
        seen.add(name)
        if event.get_extension("istest"):
            print("test message taken", flush=True)
        else:
            handle(event)
    return "ok\n"


def handle(event):
    print(event.get_type(), "from", event.get_subject(), event.get_data(), flush=True)


if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "4000")))
