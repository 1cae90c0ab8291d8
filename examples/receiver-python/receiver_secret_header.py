"""A webhook receiver to copy that knows its sender by a header with a secret in it; standard library only.

    SECRET_VALUE=my-secret-value-here python receiver_secret_header.py

The webhook for it, with the same value:

    {"url": "https://…", "secret_header": "X-Webhook-Secret", "secret_value": "my-secret-value-here"}

A secret that is sent along can be read by whoever reads the request, so use https, and prefer a signature
(receiver_plain.py) where you are free to choose. PORT is 4000 unless set.
"""

import hmac
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET_HEADER = os.environ.get("SECRET_HEADER", "X-Webhook-Secret")
SECRET_VALUE = os.environ["SECRET_VALUE"].encode()

# The ids seen so far: an event can come twice. In production: a unique column in your database, written
# in the same transaction as what the event changes, so that it survives a restart.
seen = set()
lock = threading.Lock()


def handle(event, station_id, timestamp, payload):
    print(f"{timestamp} {event} from {station_id}: {json.dumps(payload)}", flush=True)


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps the connection, so that the next event costs no handshake
    timeout = 30  # seconds that a sender may stay silent

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        # compare_digest takes the same time whatever differs, so it gives no hints to a guesser.
        if not hmac.compare_digest(self.headers.get(SECRET_HEADER, "").encode(), SECRET_VALUE):
            return self.answer(401, f"wrong or missing {SECRET_HEADER}")
        try:
            message = json.loads(body)
            told = [message[name] for name in ("event", "station_id", "timestamp", "payload")]
        except (ValueError, KeyError, TypeError) as error:
            return self.answer(400, f"not an event: {error!r}")
        event_id = self.headers.get("webhook-id")
        with lock:
            if event_id not in seen:
                handle(*told)
                seen.add(event_id)
        self.answer(200, "ok")

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text) + 1))
        self.end_headers()
        self.wfile.write(f"{text}\n".encode())

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "4000"))), Receiver)
    print(f"receiving at http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()
