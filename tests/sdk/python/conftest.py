import pytest

from server import Server


@pytest.fixture(scope="session", params=[1, 4], ids=lambda shards: f"shards={shards}")
def server(request):
    with Server(request.param) as running:
        yield running
