"""A running `chargehook serve`, as a shell and a REST client see it."""

import json
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

API_KEY = "interoperability-admin-key"


class Failure(Exception):
    """Something is not as it should be; the text says what."""


def expect(holds, what):
    if not holds:
        raise Failure(what)


def wait_until(condition, what, deadline_s=30):
    """Returns what `condition` returns once that is true; fails with `what` after the deadline."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        result = condition()
        if result:
            return result
        time.sleep(0.05)
    raise Failure(f"after {deadline_s} s: {what}")


class Gateway:
    """Starts on free ports and a data directory of its own; used as a context manager."""

    def __init__(self, binary, settings=None):
        self.binary, self.settings = binary, settings or {}
        self.directory = tempfile.TemporaryDirectory(prefix="chargehook-interop-")
        self.log_path = Path(self.directory.name) / "log"

    def __enter__(self):
        options = ["--data-dir", f"{self.directory.name}/data", "--allow-network", "127.0.0.0/8"]
        options += ["--ocpp-listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0"]
        env = {name: value for name, value in os.environ.items() if not name.startswith("CHARGEHOOK_")}
        self.process = subprocess.Popen(
            [self.binary, "serve", *options],
            stdout=subprocess.PIPE,
            stderr=self.log_path.open("w"),
            text=True,
            env={**env, **self.settings, "CHARGEHOOK_API_KEY": API_KEY},
        )
        lines = []
        threading.Thread(target=lambda: lines.extend(self.process.stdout), daemon=True).start()
        try:
            wait_until(lambda: lines or self.process.poll() is not None, "no ready line")
            ready = re.fullmatch(r"chargehook ready ocpp=(\S+) api=(\S+)\n", "".join(lines[:1]))
            expect(ready, f"the ready line reads {lines}")
        except Failure:
            self.process.kill()
            raise
        scheme = "wss" if "CHARGEHOOK_OCPP_TLS_CERTIFICATE" in self.settings else "ws"
        self.ocpp = f"{scheme}://{ready[1]}/ocpp"
        self.api = f"http://{ready[2]}/api/v1"
        return self

    def __exit__(self, kind, error, trace):
        if kind is None:
            self.process.send_signal(signal.SIGTERM)
            code = self.process.wait(timeout=30)
            expect(code == 0, f"SIGTERM ended the gateway with exit code {code}")
        else:
            self.process.kill()
            self.process.wait()
            print("--- the gateway's log:", self.log_path.read_text()[-8000:], sep="\n")
        self.directory.cleanup()

    def call(self, method, path, body=None, status=None):
        """A REST call; the body of an answer below 400, checked against `status` if that is given."""
        request = urllib.request.Request(self.api + path, method=method)
        request.add_header("X-API-Key", API_KEY)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
                expect(status in (None, answer.status), f"{method} {path}: {answer.status} {text!r}")
        except urllib.error.HTTPError as refused:
            raise Failure(f"{method} {path}: {refused.code} {refused.read()!r}") from refused
        return json.loads(text) if text else None
