"""protobuf.webpubsub.azure.v1, spoken by Google's own library over the `websockets` package."""

import base64
import json

import pytest
from azure.messaging.webpubsubservice import WebPubSubServiceClient
from google.protobuf import any_pb2
from websockets.exceptions import ConnectionClosed

from protobuf_client import EVERY_ROLE, SECONDS, an_any, connect_protobuf
from sockets import connect


def test_every_type_of_data_comes_back_as_it_was_sent(server):
    with connect_protobuf(server, server.new_hub(), user="mia", roles=EVERY_ROLE) as mia:
        assert mia.connected.user_id == "mia"
        assert len(mia.connected.connection_id) == 32
        mia.send(join_group_message={"group": "g", "ack_id": 0})
        mia.acked(0)
        for ack_id, data in enumerate(
            [
                {"text_data": "äöü"},
                {"text_data": ""},
                {"binary_data": bytes(range(256)) * 500},
                {"json_data": '{"a": [1.0, null]}'},
                {"protobuf_data": an_any()},
            ],
            start=1,
        ):
            (kind, value), *_ = data.items()
            mia.send(send_to_group_message={"group": "g", "data": data, "ack_id": ack_id})
            assert mia.data() == ("g", kind, value)
            mia.acked(ack_id)
            mia.send(event_message={"event": "echo", "data": data})
            assert mia.data() == ("", kind, value)
        mia.send(
            send_to_group_message={"group": "g", "data": {"text_data": ""}, "no_echo": True}
        )
        mia.send(ping_message={})
        assert mia.receive()[0] == "pong_message"


def test_a_refused_request_says_why(server):
    with connect_protobuf(server, server.new_hub()) as client:
        assert client.connected.user_id == ""
        client.send(leave_group_message={"group": "g", "ack_id": 2**64 - 1})
        kind, ack = client.receive()
        assert (kind, ack.ack_id, ack.success) == ("ack_message", 2**64 - 1, False)
        assert ack.error.name == "Forbidden"
        assert ack.error.message


def test_other_clients_and_application_servers(server):
    hub = server.new_hub()
    with (
        connect_protobuf(server, hub, roles=EVERY_ROLE, groups=["g"]) as client,
        connect(
            server.client_url(hub, groups=["g"]), subprotocols=["json.webpubsub.azure.v1"]
        ) as json_socket,
        connect(server.client_url(hub, groups=["g"])) as simple,
    ):
        assert json.loads(json_socket.recv(SECONDS))["event"] == "connected"
        simple.send("here")
        assert simple.recv(SECONDS) == "here"
        packed = an_any()
        client.send(send_to_group_message={"group": "g", "data": {"protobuf_data": packed}})
        assert client.data() == ("g", "protobuf_data", packed)
        message = json.loads(json_socket.recv(SECONDS))
        assert message["dataType"] == "protobuf"
        assert any_pb2.Any.FromString(base64.b64decode(message["data"])) == packed
        assert any_pb2.Any.FromString(simple.recv(SECONDS)) == packed

        service = WebPubSubServiceClient.from_connection_string(server.connection_string(), hub)
        service.send_to_group("g", {"a": 1}, content_type="application/json")
        group, kind, text = client.data()
        assert (group, kind, json.loads(text)) == ("g", "json_data", {"a": 1})
        service.send_to_all("hi", content_type="text/plain")
        assert client.data() == ("", "text_data", "hi")
        service.close_connection(client.connected.connection_id, reason="lunch")
        _, system = client.receive()
        assert system.disconnected_message.reason.endswith("Reason: lunch")
        with pytest.raises(ConnectionClosed) as closed:
            client.socket.recv(SECONDS)
        assert closed.value.rcvd.code == 1000


@pytest.mark.parametrize(
    ("message", "code"),
    [(b"\xff", 1007), (b"", 1007), (bytes.fromhex("5200"), 1007), ("{}", 1003)],
)
def test_what_cannot_be_read_ends_the_connection(server, message, code):
    with connect_protobuf(server, server.new_hub()) as client:
        client.socket.send(message)
        _, system = client.receive()
        assert system.disconnected_message.reason
        with pytest.raises(ConnectionClosed) as closed:
            client.socket.recv(SECONDS)
        assert closed.value.rcvd.code == code
