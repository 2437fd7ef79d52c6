"""Loaded by schemathesis: signs each request for the very URL that goes over the wire."""

import os
import sys
import time
from pathlib import Path

import requests
import schemathesis

sys.path.insert(0, str(Path(__file__).parent.parent / "python"))
from server import sign  # noqa: E402

LIFETIME_SECONDS = 60


class ForThisUrl(requests.auth.AuthBase):
    def __call__(self, request):
        claims = {"aud": request.url, "exp": int(time.time()) + LIFETIME_SECONDS}
        request.headers["Authorization"] = f"Bearer {sign(os.environ['ACCESS_KEY'], claims)}"
        return request


schemathesis.auth.set_from_requests(ForThisUrl())
