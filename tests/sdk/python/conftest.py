import os
import re
import tempfile

import pytest

from server import Server

pytest.register_assert_rewrite("protobuf_client", "streams")

# The ways in which an application server may come: a scheme and a key, at both shard counts.
ACCESSES = [
    (1, "http", "primary"),
    (4, "http", "secondary"),
    (4, "https", "primary"),
    (1, "https", "secondary"),
]

_tls = tempfile.TemporaryDirectory(prefix="hubwire-tls-")


def pytest_configure():
    """Has the server make its development authority, and trusts it as the start-up screen tells.

    The libraries read these variables when they are imported, which is later.
    """
    with Server(1, tls_folder=_tls.name) as server:
        pass
    told = re.search(r"^ *CA=(\S+)$", server.log, re.MULTILINE)
    for variable in ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"]:
        assert told and f"export {variable}=$CA" in server.log, (
            f"the server does not say how Python trusts it\n{server.log}"
        )
        os.environ[variable] = told[1]


def pytest_unconfigure():
    _tls.cleanup()


@pytest.fixture(scope="session", params=ACCESSES, ids=lambda access: "{1}-{2}-{0}".format(*access))
def server(request):
    shards, scheme, key = request.param
    with Server(shards, key=key, tls_folder=_tls.name if scheme == "https" else None) as running:
        running.access = request.param
        yield running


@pytest.fixture
def hub(server):
    return server.new_hub()
