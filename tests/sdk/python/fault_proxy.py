"""The fault proxy of all suites, as a child process; use it with `with`."""

import json
import os
import queue
import subprocess
import threading

PROGRAM = os.path.join(os.path.dirname(__file__), "..", "fault-proxy", "main.mjs")
SECONDS = 10


class FaultProxy:
    """Forwards what comes to `endpoint` to a port on loopback, and breaks connections.

    What it can do to them, and what `gentle` is, is told in `proxy.mjs`.
    """

    def __init__(self, target, gentle=False):
        self._arguments = [str(target), *(["gentle"] if gentle else [])]
        self._lines = queue.Queue()

    def __enter__(self):
        # It ends with its input, so also if this process just disappears.
        self._process = subprocess.Popen(
            ["node", PROGRAM, *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        threading.Thread(target=self._read, daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{self._line()['port']}"
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        assert self._process.wait(SECONDS) == 0

    def inflict(self, fault):
        """Does this to all links."""
        return self._ask(command="inflict", fault=fault)

    def disturb(self, seed, shortest_gap, longest_gap, faults=None):
        """Does something to one link after the other; gaps are in milliseconds."""
        schedule = {"seed": seed, "shortestGap": shortest_gap, "longestGap": longest_gap}
        if faults is not None:
            schedule["faults"] = faults
        return self._ask(command="disturb", **schedule)

    def calm(self):
        return self._ask(command="calm")

    def refuse(self):
        """Resets all links, and every new connection until `accept`."""
        return self._ask(command="refuse")

    def accept(self):
        return self._ask(command="accept")

    def look(self):
        """How many connections it has accepted, whether one is whole, and what it did to them."""
        return self._ask(command="look")

    def _ask(self, **command):
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self):
        line = self._lines.get(timeout=SECONDS)
        assert line, "the proxy has ended"
        return json.loads(line)

    def _read(self):
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")
