"""The vendor's Python SDKs: the service client, and the client on the plain json protocol."""

import queue

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.messaging.webpubsubclient import WebPubSubClient
from azure.messaging.webpubsubclient.models import (
    CallbackType,
    SendMessageError,
    WebPubSubDataType,
    WebPubSubProtocolType,
)
from azure.messaging.webpubsubservice import WebPubSubServiceClient

EVERY_ROLE = ["webpubsub.joinLeaveGroup", "webpubsub.sendToGroup"]
SECONDS = 10


class Client:
    """An SDK client whose messages can be waited for; use it with `with`."""

    def __init__(self, url):
        self.connected, self.disconnected = queue.Queue(), queue.Queue()
        self.group, self.server = queue.Queue(), queue.Queue()
        self.sdk = WebPubSubClient(
            url,
            protocol_type=WebPubSubProtocolType.JSON,
            reconnect_retry_total=0,
            message_retry_total=0,
            # This SDK misses an answer that comes before it begins to wait, notices it only at
            # the end of the time given here, and then goes on as if nothing had happened.
            start_timeout=3,
            ack_timeout=3,
        )
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
def hub(server):
    return server.new_hub()


@pytest.fixture
def service(server, hub):
    return WebPubSubServiceClient.from_connection_string(
        server.connection_string(), hub=hub, retry_total=0
    )


@pytest.fixture
def client_for(service):
    def make(user, groups=None):
        token = service.get_client_access_token(user_id=user, roles=EVERY_ROLE, groups=groups)
        return Client(token["url"])

    return make


def test_clients_meet_in_a_group(client_for):
    with client_for("ann") as ann, client_for("bob") as bob:
        assert (ann.user_id, bob.user_id) == ("ann", "bob")
        ann.sdk.join_group("g")
        bob.sdk.join_group("g")
        for data_type, data in [
            (WebPubSubDataType.TEXT, "hällo"),
            (WebPubSubDataType.JSON, {"a": [1, None]}),
            (WebPubSubDataType.BINARY, memoryview(b"\x00\xff")),
        ]:
            bob.sdk.send_to_group("g", data, data_type, no_echo=True)
            message = ann.group.get(timeout=SECONDS)
            assert (message.group, message.from_user_id) == ("g", "bob")
            assert message.data_type == data_type
            received = bytes(message.data) if isinstance(data, memoryview) else message.data
            assert received == (bytes(data) if isinstance(data, memoryview) else data)
        bob.sdk.send_to_group("g", "with echo", WebPubSubDataType.TEXT)
        assert bob.group.get(timeout=SECONDS).data == "with echo"


def test_event_is_echoed_and_an_ack_id_counts_once(client_for):
    with client_for("ann") as ann:
        ann.sdk.send_event("greet", "hi", WebPubSubDataType.TEXT, ack_id=9)
        assert ann.server.get(timeout=SECONDS).data == "hi"
        ann.sdk.send_event("greet", "again", WebPubSubDataType.TEXT, ack_id=9)
        ann.sdk.send_event("greet", "next", WebPubSubDataType.TEXT, ack_id=10)
        assert ann.server.get(timeout=SECONDS).data == "next"


def test_without_the_role_joining_is_forbidden(service):
    with Client(service.get_client_access_token()["url"]) as client:
        assert client.user_id is None
        with pytest.raises(SendMessageError) as refused:
            client.sdk.join_group("g")
        assert refused.value.error_detail.name == "Forbidden"


def test_service_sends(service, client_for):
    with client_for("ann", ["g"]) as ann, client_for("bob") as bob:
        service.send_to_all("all", content_type="text/plain", excluded=[bob.connection_id])
        service.send_to_user("bob", {"to": "bob"})
        service.send_to_connection(ann.connection_id, b"\x01", content_type="application/octet-stream")
        service.send_to_group("g", "group", content_type="text/plain")
        # This SDK hands every message to a thread of its own, so their order is not kept.
        to_ann = [ann.server.get(timeout=SECONDS).data for _ in range(2)]
        assert sorted(bytes(data) for data in to_ann if data != "all") == [b"\x01"]
        assert ann.group.get(timeout=SECONDS).data == "group"
        assert bob.server.get(timeout=SECONDS).data == {"to": "bob"}


def test_service_knows_and_moves_connections(service, client_for):
    with client_for("ann") as ann:
        assert service.connection_exists(ann.connection_id)
        assert service.user_exists("ann")
        assert not service.user_exists("bob")
        assert not service.group_exists("g")
        service.add_connection_to_group("g", ann.connection_id)
        assert service.group_exists("g")
        listed = [member.connection_id for member in service.list_connections(group="g")]
        assert listed == [ann.connection_id]
        service.remove_connection_from_group("g", ann.connection_id)
        assert not service.group_exists("g")
        service.add_user_to_group("g", "ann")
        assert service.group_exists("g")
        service.remove_user_from_all_groups("ann")
        assert not service.group_exists("g")
        service.close_connection(ann.connection_id, reason="enough")
        farewell = ann.disconnected.get(timeout=SECONDS)
        assert farewell.message == "Application server closed the connection. Reason: enough"


def test_errors_carry_the_code(service):
    with pytest.raises(ResourceNotFoundError) as missing:
        service.add_connection_to_group("g", "nothing")
    assert "Error.Connection.NotExisted" in str(missing.value)


def test_a_wrong_key_is_refused(server, hub):
    text = server.connection_string().replace(server.key, "w" * 44)
    stranger = WebPubSubServiceClient.from_connection_string(text, hub=hub, retry_total=0)
    with pytest.raises(HttpResponseError) as refused:
        stranger.send_to_all("x", content_type="text/plain")
    assert refused.value.status_code == 401
