"""Clients of the protobuf subprotocols: Google's library over the `websockets` package."""

import socket as sockets_of_the_system
from contextlib import contextmanager

import pytest
from google.protobuf import any_pb2, wrappers_pb2
from websockets.exceptions import ConnectionClosed

from protobuf_schema import DownstreamMessage, UpstreamMessage
from sockets import connect

PROTOCOL = "protobuf.webpubsub.azure.v1"
RELIABLE_PROTOCOL = "protobuf.reliable.webpubsub.azure.v1"
EVERY_ROLE = ["webpubsub.joinLeaveGroup", "webpubsub.sendToGroup"]
SECONDS = 10


class Client:
    def __init__(self, socket):
        self.socket = socket
        self.reliable = socket.subprotocol == RELIABLE_PROTOCOL

    def send(self, **request):
        self.socket.send(UpstreamMessage(**request).SerializeToString())

    def publish(self, text, **request):
        self.send(send_to_group_message={"group": "g", "data": {"text_data": text}, **request})

    def receive(self, wanted=None):
        """The next message, as it is called and as it is; with `wanted` only as it is."""
        raw = self.socket.recv(SECONDS)
        assert isinstance(raw, bytes)
        message = DownstreamMessage.FromString(raw)
        # Nothing on the wire but what the schema knows, if in an order of its own.
        assert sorted(message.SerializeToString()) == sorted(raw)
        kind = message.WhichOneof("one")
        if wanted is None:
            return kind, getattr(message, kind)
        assert kind == wanted, message
        return getattr(message, kind)

    def acked(self, ack_id):
        ack = self.receive("ack_message")
        assert (ack.ack_id, ack.success) == (ack_id, True)
        assert not ack.HasField("error")

    def refused(self, ack_id, name):
        ack = self.receive("ack_message")
        assert (ack.ack_id, ack.success, ack.error.name) == (ack_id, False, name)
        assert ack.error.message

    def data(self):
        """The next message, which carries data: its group, the kind of data, the data."""
        message = self.receive("data_message")
        assert getattr(message, "from") == ("group" if message.HasField("group") else "server")
        assert message.HasField("sequence_id") == self.reliable
        data = message.data.WhichOneof("one")
        return message.group, data, getattr(message.data, data)

    def numbered(self):
        """The next message, which carries text: its sequence id and the text."""
        message = self.receive("data_message")
        return message.sequence_id, message.data.text_data

    def drop(self):
        """Loses the socket without a word."""
        self.socket.socket.shutdown(sockets_of_the_system.SHUT_RDWR)

    def closed(self):
        """Reads until the server closes, and returns its code."""
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                self.socket.recv(SECONDS)
        return closed.value.rcvd.code if closed.value.rcvd else None


@contextmanager
def connect_protobuf(server, hub, protocol=PROTOCOL, **claims):
    with open_protobuf(server.client_url(hub, **claims), protocol) as client:
        system = client.receive("system_message")
        assert system.WhichOneof("one") == "connected_message"
        client.connected = system.connected_message
        yield client


@contextmanager
def recover(server, hub, connected, protocol=RELIABLE_PROTOCOL):
    """Comes back to a connection with what it was told when it was made."""
    url = server.client_url(
        hub,
        awps_connection_id=connected.connection_id,
        awps_reconnection_token=connected.reconnection_token,
    )
    with open_protobuf(url, protocol) as client:
        system = client.receive("system_message")
        client.connected = system.connected_message
        assert client.connected.connection_id == connected.connection_id
        assert client.connected.user_id == connected.user_id
        assert client.connected.reconnection_token
        yield client


@contextmanager
def open_protobuf(url, protocol):
    with connect(url, subprotocols=[protocol]) as socket:
        assert socket.subprotocol == protocol
        yield Client(socket)


def an_any():
    packed = any_pb2.Any()
    packed.Pack(wrappers_pb2.StringValue(value="äöü"))
    return packed
