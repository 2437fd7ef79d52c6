"""Starting and stopping a real server for a test; nothing here knows a protocol."""

import base64
import hashlib
import hmac
import json
import os
import queue
import re
import secrets
import signal
import subprocess
import tempfile
import threading
import time
import urllib.parse

START_SECONDS = 15
STOP_SECONDS = 20

ENDPOINT = re.compile(r"endpoint\W+https?://[^\s/;]*:(\d+)\b", re.IGNORECASE)

ECHO = """
[[hub_defaults.event_handlers]]
url_template = "builtin:echo"
user_event_pattern = "*"
"""


class Server:
    """A server process with fresh keys on a port that the system chose; use it with `with`."""

    def __init__(self, shards, configuration=""):
        self.key = base64.b64encode(secrets.token_bytes(32)).decode()
        self._configuration = (
            f'listen = "127.0.0.1:0"\nshards = {shards}\n'
            f'[access_keys]\nprimary = "{self.key}"\n{configuration}\n{ECHO}'
        )
        self._hubs = 0
        self._log = []

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="hubwire-")
        file = os.path.join(self._folder.name, "hubwire.toml")
        with open(file, "w", encoding="utf-8") as out:
            out.write(self._configuration)
        self._process = subprocess.Popen(
            [os.environ["HUBWIRE_BIN"], "serve", "--config", file],
            cwd=self._folder.name,
            # What begins like this, the server would read as its configuration.
            env={k: v for k, v in os.environ.items() if not k.startswith("HUBWIRE_")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )
        self.port = self._wait_for_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        return self

    def __exit__(self, *_):
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            code = "no exit in time"
        self._folder.cleanup()
        assert code == 0, f"the server did not stop cleanly: {code}\n{''.join(self._log)}"

    def new_hub(self):
        """A hub that no other test uses."""
        self._hubs += 1
        return f"hub{self._hubs}"

    def connection_string(self):
        return f"Endpoint={self.endpoint};AccessKey={self.key};Version=1.0;"

    def client_url(self, hub, user=None, roles=None, groups=None, **query):
        """A client URL with a token of our own making; `query` adds parameters."""
        claims = {
            "aud": f"{self.endpoint}/client/hubs/{hub}",
            "exp": int(time.time()) + 300,
            "sub": user,
            "role": roles,
            "webpubsub.group": groups,
        }
        query["access_token"] = self._token({k: v for k, v in claims.items() if v is not None})
        parameters = urllib.parse.urlencode(query)
        return f"ws://127.0.0.1:{self.port}/client/hubs/{hub}?{parameters}"

    def _token(self, claims):
        text = ".".join(
            _base64url(json.dumps(part).encode()) for part in ({"alg": "HS256"}, claims)
        )
        digest = hmac.new(self.key.encode(), text.encode(), hashlib.sha256).digest()
        return f"{text}.{_base64url(digest)}"

    def _wait_for_port(self):
        """The port that the start-up screen names."""
        lines = queue.Queue()

        def read():
            for line in self._process.stdout:
                self._log.append(line)
                lines.put(line)
            lines.put(None)

        threading.Thread(target=read, daemon=True).start()
        deadline = time.monotonic() + START_SECONDS
        try:
            while (line := lines.get(timeout=max(0, deadline - time.monotonic()))) is not None:
                if found := ENDPOINT.search(line):
                    return int(found[1])
        except queue.Empty:
            pass
        self._process.kill()
        self._process.wait()
        raise AssertionError(f"the server did not start\n{''.join(self._log)}")


def _base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
