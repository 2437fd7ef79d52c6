"""Who sends what, and how every kind of client gets it: one table."""

import base64
import json
from contextlib import ExitStack

import pytest
from azure.messaging.webpubsubservice import WebPubSubServiceClient
from google.protobuf import any_pb2

from protobuf_client import (
    EVERY_ROLE,
    PROTOCOL,
    RELIABLE_PROTOCOL,
    SECONDS,
    an_any,
    connect_protobuf,
)
from sockets import connect

ANY = an_any()

# A type of data: its value in JSON, in protobuf, and for simple clients.
DATA = {
    "text": ('a "b" é', {"text_data": 'a "b" é'}, 'a "b" é'),
    "json": ({"a": [1.5, "x"]}, {"json_data": '{"a": [1.5, "x"]}'}, '{"a": [1.5, "x"]}'),
    "binary": ("AAH/", {"binary_data": b"\x00\x01\xff"}, b"\x00\x01\xff"),
    "protobuf": (
        base64.b64encode(ANY.SerializeToString()).decode(),
        {"protobuf_data": ANY},
        ANY.SerializeToString(),
    ),
}

REST_TYPES = {
    "text": "text/plain",
    "json": "application/json",
    "binary": "application/octet-stream",
}


class Json:
    def __init__(self, stack, server, hub, protocol):
        url = server.client_url(hub, user="jo", roles=EVERY_ROLE, groups=["g"])
        self.socket = stack.enter_context(connect(url, subprotocols=[protocol]))
        self.reliable = ".reliable." in protocol
        connected = json.loads(self.socket.recv(SECONDS))
        assert ("reconnectionToken" in connected) == self.reliable

    def send(self, data_type):
        request = {"type": "sendToGroup", "group": "g"}
        data = {"dataType": data_type, "data": DATA[data_type][0]}
        self.socket.send(json.dumps({**request, **data}))

    def expect(self, data_type, user):
        message = json.loads(self.socket.recv(SECONDS))
        assert isinstance(message.pop("sequenceId", None), int if self.reliable else type(None))
        expected = {"type": "message", "from": "group", "group": "g", "dataType": data_type}
        if user is not None:
            expected["fromUserId"] = user
        assert message == {**expected, "data": DATA[data_type][0]}

    user = "jo"
    sends = DATA


class Protobuf:
    def __init__(self, stack, server, hub, protocol):
        claims = {"user": "pia", "roles": EVERY_ROLE, "groups": ["g"]}
        self.client = stack.enter_context(connect_protobuf(server, hub, protocol, **claims))

    def send(self, data_type):
        data = {"group": "g", "data": DATA[data_type][1]}
        self.client.send(send_to_group_message=data)

    def expect(self, data_type, user):
        group, kind, value = self.client.data()
        assert (group, {kind: value}) == ("g", DATA[data_type][1])

    user = "pia"
    sends = DATA


class Simple:
    def __init__(self, stack, server, hub, _):
        claims = {"user": "sim", "roles": EVERY_ROLE, "groups": ["g"]}
        url = server.client_url(hub, **claims, webpubsub_mode="sendToGroup", group="g")
        self.socket = stack.enter_context(connect(url))

    def send(self, data_type):
        self.socket.send(DATA[data_type][2])

    def expect(self, data_type, user):
        assert self.socket.recv(SECONDS) == DATA[data_type][2]

    user = "sim"
    sends = ("text", "binary")


class Rest:
    def __init__(self, stack, server, hub, _):
        self.service = WebPubSubServiceClient.from_connection_string(
            server.connection_string(), hub=hub, retry_total=0
        )

    def send(self, data_type):
        value = DATA[data_type][0 if data_type == "json" else 2]
        self.service.send_to_group("g", value, content_type=REST_TYPES[data_type])

    user = None
    sends = tuple(REST_TYPES)


# The kinds that are told when they are there.
KINDS = {
    "json": (Json, "json.webpubsub.azure.v1"),
    "json.reliable": (Json, "json.reliable.webpubsub.azure.v1"),
    "protobuf": (Protobuf, PROTOCOL),
    "protobuf.reliable": (Protobuf, RELIABLE_PROTOCOL),
}


def test_everything_sent_by_anybody_reaches_everybody(server, hub):
    with ExitStack() as stack:

        def make(build, protocol=None):
            return build(stack, server, hub, protocol)

        # Simple clients come first: they are told nothing when they are there, but get what they
        # send themselves.
        everybody = {}
        for name in ("simple", "a second simple"):
            everybody[name] = make(Simple)
            everybody[name].send("text")
            for client in everybody.values():
                client.expect("text", "sim")
        for name, (build, protocol) in KINDS.items():
            everybody[name] = make(build, protocol)
            everybody[f"a second {name}"] = make(build, protocol)

        for sender_name, sender in [*everybody.items(), ("REST", make(Rest))]:
            for data_type in sender.sends:
                sender.send(data_type)
                for name, receiver in everybody.items():
                    try:
                        receiver.expect(data_type, sender.user)
                    except (AssertionError, TimeoutError) as error:
                        pytest.fail(f"{data_type} from {sender_name} to {name}: {error!r}")
