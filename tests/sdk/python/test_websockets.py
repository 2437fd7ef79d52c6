"""The `websockets` package: simple clients, and the json subprotocol spoken by hand."""

import json
from contextlib import contextmanager

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from sockets import connect

JSON_PROTOCOL = "json.webpubsub.azure.v1"
EVERY_ROLE = ["webpubsub.joinLeaveGroup", "webpubsub.sendToGroup"]
SECONDS = 10


@contextmanager
def connect_json(server, hub, **claims):
    url = server.client_url(hub, **claims)
    with connect(url, subprotocols=[JSON_PROTOCOL]) as socket:
        assert socket.subprotocol == JSON_PROTOCOL
        connected = json.loads(socket.recv(SECONDS))
        assert (connected["type"], connected["event"]) == ("system", "connected")
        yield socket, connected


def arrive(simple):
    """Waits until a simple client is in its groups: it is told nothing, but an answer shows it."""
    simple.send("here")
    assert simple.recv(SECONDS) == "here"


def exchange(socket, request, *answers):
    socket.send(json.dumps(request))
    for answer in answers:
        assert json.loads(socket.recv(SECONDS)) == answer


def test_simple_client_is_echoed(server):
    with connect(server.client_url(server.new_hub())) as socket:
        assert socket.subprotocol is None
        for message in ["text", "äöü €", b"\x00\xff", "x" * 200_000, b"y" * 200_000]:
            socket.send(message)
            assert socket.recv(SECONDS) == message


def test_fragments_are_one_message(server):
    with connect(server.client_url(server.new_hub())) as socket:
        socket.send(["frag", "men", "ted"])
        assert socket.recv(SECONDS) == "fragmented"
        socket.send([b"\x01", b"", b"\x02"])
        assert socket.recv(SECONDS) == b"\x01\x02"


def test_ping_is_answered(server):
    with connect(server.client_url(server.new_hub())) as socket:
        assert socket.ping(b"payload").wait(SECONDS)


def test_group_messages_reach_both_kinds_of_client(server):
    hub = server.new_hub()
    with (
        connect(server.client_url(hub, groups=["g"])) as simple,
        connect_json(server, hub, user="mia", roles=EVERY_ROLE) as (member, connected),
    ):
        assert connected["userId"] == "mia"
        arrive(simple)
        exchange(
            member,
            {"type": "joinGroup", "group": "g", "ackId": 1},
            {"type": "ack", "ackId": 1, "success": True},
        )
        common = {"type": "message", "from": "group", "group": "g", "fromUserId": "mia"}
        for data_type, data, raw in [
            ("text", "hi", "hi"),
            ("json", [1, {"a": None}], '[1,{"a":null}]'),
            ("binary", "AQI=", b"\x01\x02"),
        ]:
            request = {"type": "sendToGroup", "group": "g", "dataType": data_type, "data": data}
            member.send(json.dumps(request, separators=(",", ":")))
            answer = json.loads(member.recv(SECONDS))
            assert answer == {**common, "dataType": data_type, "data": data}
            assert simple.recv(SECONDS) == raw


def test_event_is_answered_before_its_ack(server):
    with connect_json(server, server.new_hub()) as (socket, _):
        exchange(
            socket,
            {"type": "event", "event": "greet", "dataType": "json", "data": {"a": 1}, "ackId": 5},
            {"type": "message", "from": "server", "dataType": "json", "data": {"a": 1}},
            {"type": "ack", "ackId": 5, "success": True},
        )


@pytest.mark.parametrize(
    "message",
    ["[]", "{}", '{"type":"shout"}', '{"type":"ping"', '{"type":"joinGroup","group":1}'],
)
def test_malformed_message_ends_the_connection(server, message):
    with connect_json(server, server.new_hub()) as (socket, _):
        socket.send(message)
        farewell = json.loads(socket.recv(SECONDS))
        assert (farewell["type"], farewell["event"]) == ("system", "disconnected")
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(SECONDS)
        assert closed.value.rcvd.code == 1007


def test_no_token_no_entry(server):
    url = server.client_url(server.new_hub()).split("?")[0]
    with pytest.raises(InvalidStatus) as refused, connect(url):
        pass
    assert refused.value.response.status_code == 401


def test_authorization_header_is_a_token_too(server):
    url, token = server.client_url(server.new_hub(), user="ann").split("?access_token=")
    headers = {"Authorization": f"Bearer {token}"}
    with connect(url, additional_headers=headers, subprotocols=[JSON_PROTOCOL]) as socket:
        assert json.loads(socket.recv(SECONDS))["userId"] == "ann"
