"""`azure-messaging-webpubsubclient`, blocking and asyncio, on the plain json protocol."""

import asyncio
import queue

import pytest
from azure.messaging.webpubsubclient import WebPubSubClient
from azure.messaging.webpubsubclient.aio import WebPubSubClient as AsyncClient
from azure.messaging.webpubsubclient.models import (
    CallbackType,
    SendMessageError,
    WebPubSubDataType,
    WebPubSubProtocolType,
)
from azure.messaging.webpubsubservice import WebPubSubServiceClient

EVERY_ROLE = ["webpubsub.joinLeaveGroup", "webpubsub.sendToGroup"]
SECONDS = 10

CONTENTS = [
    (WebPubSubDataType.TEXT, "hällo"),
    (WebPubSubDataType.JSON, {"a": [1, None]}),
    (WebPubSubDataType.BINARY, memoryview(b"\x00\xff")),
]

OPTIONS = {
    "protocol_type": WebPubSubProtocolType.JSON,
    "reconnect_retry_total": 0,
    "message_retry_total": 0,
}


class Client:
    """A blocking client whose messages can be waited for; use it with `with`."""

    def __init__(self, url):
        self.connected, self.disconnected = queue.Queue(), queue.Queue()
        self.group, self.server = queue.Queue(), queue.Queue()
        # This library misses an answer that comes before it begins to wait, notices it only at
        # the end of the time given here, and then goes on as if nothing had happened.
        self.sdk = WebPubSubClient(url, start_timeout=3, ack_timeout=3, **OPTIONS)
        for event, arrivals in [
            (CallbackType.CONNECTED, self.connected),
            (CallbackType.DISCONNECTED, self.disconnected),
            (CallbackType.GROUP_MESSAGE, self.group),
            (CallbackType.SERVER_MESSAGE, self.server),
        ]:
            self.sdk.subscribe(event, arrivals.put)

    def __enter__(self):
        self.sdk.open()
        connected = self.connected.get(timeout=SECONDS)
        self.connection_id, self.user_id = connected.connection_id, connected.user_id
        return self

    def __exit__(self, *_):
        self.sdk.close()


@pytest.fixture
def service(server, hub):
    return WebPubSubServiceClient.from_connection_string(
        server.connection_string(), hub=hub, retry_total=0
    )


@pytest.fixture
def url_for(service):
    def make(user=None, groups=None, roles=EVERY_ROLE):
        token = service.get_client_access_token(user_id=user, roles=roles, groups=groups)
        return token["url"]

    return make


def plain(data):
    return bytes(data) if isinstance(data, (memoryview, bytearray)) else data


def test_clients_meet_in_a_group(url_for):
    with Client(url_for("ann")) as ann, Client(url_for("bob")) as bob:
        assert (ann.user_id, bob.user_id) == ("ann", "bob")
        ann.sdk.join_group("g")
        bob.sdk.join_group("g")
        for data_type, data in CONTENTS:
            bob.sdk.send_to_group("g", data, data_type, no_echo=True)
            message = ann.group.get(timeout=SECONDS)
            assert (message.group, message.from_user_id) == ("g", "bob")
            assert (message.data_type, plain(message.data)) == (data_type, plain(data))
        bob.sdk.send_to_group("g", "with echo", WebPubSubDataType.TEXT)
        assert bob.group.get(timeout=SECONDS).data == "with echo"


def test_who_left_receives_nothing_more(url_for):
    with Client(url_for("ann")) as ann:
        ann.sdk.join_group("left")
        ann.sdk.join_group("kept")
        ann.sdk.leave_group("left")
        ann.sdk.send_to_group("left", "unseen", WebPubSubDataType.TEXT)
        ann.sdk.send_to_group("kept", "seen", WebPubSubDataType.TEXT)
        assert ann.group.get(timeout=SECONDS).data == "seen"
        assert ann.group.empty()


def test_event_is_echoed_and_an_ack_id_counts_once(url_for):
    with Client(url_for("ann")) as ann:
        ann.sdk.send_event("greet", "hi", WebPubSubDataType.TEXT, ack_id=9)
        assert ann.server.get(timeout=SECONDS).data == "hi"
        ann.sdk.send_event("greet", "again", WebPubSubDataType.TEXT, ack_id=9)
        ann.sdk.send_event("greet", "next", WebPubSubDataType.TEXT, ack_id=10)
        assert ann.server.get(timeout=SECONDS).data == "next"


def test_without_the_role_joining_is_forbidden(url_for):
    with Client(url_for(roles=None)) as client:
        assert client.user_id is None
        with pytest.raises(SendMessageError) as refused:
            client.sdk.join_group("g")
        assert refused.value.error_detail.name == "Forbidden"


def test_the_application_closes_a_client_and_says_why(service, url_for):
    with Client(url_for("ann")) as ann:
        service.close_connection(ann.connection_id, reason="enough")
        farewell = ann.disconnected.get(timeout=SECONDS)
        assert farewell.message == "Application server closed the connection. Reason: enough"


def test_the_asyncio_client_does_all_of_it(url_for):
    async def converse():
        connected, group, server = asyncio.Queue(), asyncio.Queue(), asyncio.Queue()
        client = AsyncClient(url_for("ann"), **OPTIONS)
        for event, arrivals in [
            (CallbackType.CONNECTED, connected),
            (CallbackType.GROUP_MESSAGE, group),
            (CallbackType.SERVER_MESSAGE, server),
        ]:
            await client.subscribe(event, arrivals.put)
        async with client, asyncio.timeout(6 * SECONDS):
            assert (await connected.get()).user_id == "ann"
            await client.join_group("g")
            for data_type, data in CONTENTS:
                await client.send_to_group("g", data, data_type)
                message = await group.get()
                assert (message.group, message.from_user_id) == ("g", "ann")
                assert (message.data_type, plain(message.data)) == (data_type, plain(data))
                await client.send_event("greet", data, data_type)
                message = await server.get()
                assert (message.data_type, plain(message.data)) == (data_type, plain(data))
            await client.leave_group("g")
            await client.send_to_group("g", "unseen", WebPubSubDataType.TEXT)
            await client.send_event("greet", "the last", WebPubSubDataType.TEXT)
            assert (await server.get()).data == "the last"
            assert group.empty()

    asyncio.run(converse())
