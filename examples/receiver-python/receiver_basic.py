"""A webhook receiver to copy that wants `Authorization: Basic KEY` and a test message before it is used.

    BASIC_KEY=bXktc3lzdGVtOm15LXNlY3JldA== python receiver_basic.py

KEY is the base64 of `user:password`, or whatever your system calls its key. The webhook for it sends that
header with every event, and with `verify` it is only made if a test message (`"isTest": true`) is answered 2xx:

    {"url": "https://…", "secret_header": "Authorization", "secret_value": "Basic bXktc3l…", "verify": true}

Anything else is answered 400 at registration, with the status the receiver gave. PORT is 4000 unless set.
Python's own library only.
"""

import hmac
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

AUTHORIZATION = f"Basic {os.environ['BASIC_KEY']}".encode()

# The ids seen so far: an event can come twice. In production: a unique column in your database, written
# in the same transaction as what the event changes, so that it survives a restart.
seen = set()
lock = threading.Lock()


def handle(message):
    print(message["event"], "from", message["station_id"], json.dumps(message["payload"]), flush=True)


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps the connection, so that the next event costs no handshake
    timeout = 30  # seconds that a sender may stay silent

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        # compare_digest takes the same time whatever differs, so it gives no hints to a guesser.
        if not hmac.compare_digest(self.headers.get("Authorization", "").encode(), AUTHORIZATION):
            return self.answer(401)
        try:
            message = json.loads(body)
            if message.get("isTest"):
                # Somebody registers this endpoint, or tries it. It changes nothing in the books.
                print("test message taken", flush=True)
            else:
                self.once(message)
        except (ValueError, KeyError, AttributeError):
            return self.answer(400)
        self.answer(204)

    def once(self, message):
        event_id = self.headers.get("webhook-id")
        with lock:
            if event_id not in seen:
                handle(message)
                seen.add(event_id)

    def answer(self, status):
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="webhooks"')
        if status != 204:
            self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "4000"))), Receiver)
    print(f"receiving at http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()
