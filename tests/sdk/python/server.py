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
    """A server process with fresh keys on a port that the system chose; use it with `with`.

    `key` names the access key that callers use. With `tls_folder`, the place of a development
    authority, it serves https. With `keeps_sessions` it has a folder for what is to survive a
    restart.
    """

    def __init__(
        self, shards, configuration="", key="primary", tls_folder=None, keeps_sessions=False
    ):
        keys = {name: _new_key() for name in ("primary", "secondary")}
        self.key = keys.pop(key)
        self.other_key = keys.popitem()[1]
        primary, secondary = (
            (self.key, self.other_key) if key == "primary" else (self.other_key, self.key)
        )
        self._scheme = "https" if tls_folder else "http"
        self._keeps_sessions = keeps_sessions
        self._options = ["--dev-tls", "--data-dir", tls_folder] if tls_folder else []
        self._configuration = (
            f'listen = "127.0.0.1:0"\nshards = {shards}\n'
            f'[access_keys]\nprimary = "{primary}"\nsecondary = "{secondary}"\n'
            f"{configuration}\n{ECHO}"
        )
        self._hubs = 0
        self._log = []

    @property
    def log(self):
        """What it has printed so far."""
        return "".join(self._log)

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="hubwire-")
        file = os.path.join(self._folder.name, "hubwire.toml")
        with open(file, "w", encoding="utf-8", opener=_private) as out:
            out.write(self._configuration)
        self._options += ["--config", file]
        if self._keeps_sessions:
            self._options += ["--data-dir", os.path.join(self._folder.name, "data")]
        self._launch()
        return self

    def restart(self, shards):
        """Stops it and starts it again where it was, with another number of shards."""
        self._end()
        self._launch("--listen", f"127.0.0.1:{self.port}", "--shards", str(shards))

    def __exit__(self, *_):
        self._end()
        self._folder.cleanup()

    def _launch(self, *options):
        self._process = subprocess.Popen(
            [os.environ["HUBWIRE_BIN"], "serve", *self._options, *options],
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
        self.endpoint = f"{self._scheme}://127.0.0.1:{self.port}"

    def _end(self):
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            code = "no exit in time"
        self._reader.join(STOP_SECONDS)
        assert code == 0, f"the server did not stop cleanly: {code}\n{self.log}"

    def new_hub(self):
        """A hub that no other test uses."""
        self._hubs += 1
        return f"hub{self._hubs}"

    def connection_string(self, key=None):
        return f"Endpoint={self.endpoint};AccessKey={key or self.key};Version=1.0;"

    def client_url(self, hub, user=None, roles=None, groups=None, endpoint=None, **query):
        """A client URL with a token of our own making; `query` adds parameters.

        `endpoint` is where the client comes in, if that is not the server itself.
        """
        endpoint = endpoint or self.endpoint
        claims = {
            "aud": f"{endpoint}/client/hubs/{hub}",
            "exp": int(time.time()) + 300,
            "sub": user,
            "role": roles,
            "webpubsub.group": groups,
        }
        query["access_token"] = self.token({k: v for k, v in claims.items() if v is not None})
        parameters = urllib.parse.urlencode(query)
        return f"{endpoint.replace('http', 'ws', 1)}/client/hubs/{hub}?{parameters}"

    def token(self, claims):
        """A token signed with the callers' key."""
        return sign(self.key, claims)

    def _wait_for_port(self):
        """The port that the start-up screen names."""
        lines = queue.Queue()

        def read():
            for line in self._process.stdout:
                self._log.append(line)
                lines.put(line)
            lines.put(None)

        self._reader = threading.Thread(target=read, daemon=True)
        self._reader.start()
        deadline = time.monotonic() + START_SECONDS
        try:
            while (line := lines.get(timeout=max(0, deadline - time.monotonic()))) is not None:
                if found := ENDPOINT.search(line):
                    return int(found[1])
        except queue.Empty:
            pass
        self._process.kill()
        self._process.wait()
        raise AssertionError(f"the server did not start\n{self.log}")


def _private(path, flags):
    return os.open(path, flags, 0o600)


def _new_key():
    return base64.b64encode(secrets.token_bytes(32)).decode()


def sign(key, claims):
    """An HS256 token."""
    text = ".".join(_base64url(json.dumps(part).encode()) for part in ({"alg": "HS256"}, claims))
    digest = hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()
    return f"{text}.{_base64url(digest)}"


def _base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
