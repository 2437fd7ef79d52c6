"""The `websockets` package, as the tests use it."""

import ssl

from websockets.sync.client import connect as connect_anyhow


def connect(url, **options):
    """Connects, over TLS with version 1.2.

    In version 1.3 the server's tickets come after the handshake. Before Python 3.13 a thread that
    reads them disturbs one that writes, and this package has both: of a thousand handshakes one
    would hang.
    """
    if url.startswith("wss:"):
        context = ssl.create_default_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        options["ssl"] = context
    return connect_anyhow(url, **options)
