"""Streams and group states in protobuf, among clients of every kind."""

import json
from contextlib import contextmanager

import pytest
from azure.messaging.webpubsubservice import WebPubSubServiceClient

from protobuf_client import (
    EVERY_ROLE,
    PROTOCOL,
    RELIABLE_PROTOCOL,
    SECONDS,
    connect_protobuf,
    recover,
)
from sockets import connect
from streams import acked, closed, end, group_state, part, set_state, start, write

PROTOCOLS = [PROTOCOL, RELIABLE_PROTOCOL]


@pytest.fixture(params=PROTOCOLS)
def member(request, server, hub):
    """Connects clients of one of the two subprotocols that are in the group `g`."""

    def make(**claims):
        claims = {"roles": EVERY_ROLE, "groups": ["g"], **claims}
        return connect_protobuf(server, hub, request.param, **claims)

    return make


def test_parts_arrive_once_and_in_order(member):
    with member(roles=EVERY_ROLE, groups=[]) as writer, member() as reader:
        start(writer, "s")
        for n, text in [(1, "a"), (2, "b"), (2, "b"), (1, "a"), (3, "c")]:
            write(writer, "s", n, text_data=text)
        acked(writer, "s", 4)
        write(writer, "s", 6, text_data="too early")
        nack = writer.receive("stream_nack_message")
        assert (nack.stream_id, nack.name) == ("s", "InvalidSequenceId")
        assert nack.expected_sequence_id == 4
        assert nack.message
        writer.send(stream_data_message={"stream_id": "s"})
        write(writer, "s", 4, text_data="d")
        end(writer, "s")
        assert closed(writer, "s") is None
        wanted = [(1, "a"), (2, "b"), (3, "c"), (4, "d"), (5, None)]
        assert [part(reader) for _ in wanted] == wanted


def test_every_kind_of_client_follows_a_stream(server, hub, member):
    with (
        member(user="wanda") as writer,
        member() as reader,
        connect(
            server.client_url(hub, groups=["g"]), subprotocols=["json.webpubsub.azure.v1"]
        ) as json_socket,
        connect(server.client_url(hub, groups=["g"])) as simple,
    ):
        json_socket.recv(SECONDS)
        simple.send("here")
        assert simple.recv(SECONDS) == "here"
        start(writer, "s", idle_timeout_ms=60_000)
        write(writer, "s", 1, text_data="a")
        write(writer, "s", 2, json_data='{"b": 1.0}')
        write(writer, "s", 3, binary_data=b"\x00\xff")
        end(writer, "s", message="no more", user_error_code="E1")
        numbers = [reader.receive("data_message").stream.stream_sequence_id for _ in range(3)]
        assert numbers == [1, 2, 3]
        assert part(reader) == (4, ("UserError", "no more", "E1"))
        message = {"type": "message", "from": "group", "group": "g", "fromUserId": "wanda"}
        parts = [(1, "text", "a"), (2, "json", {"b": 1.0}), (3, "binary", "AP8=")]
        for n, data_type, data in parts:
            assert json.loads(json_socket.recv(SECONDS)) == {
                **message,
                "dataType": data_type,
                "data": data,
                "stream": {"streamId": "s", "streamSequenceId": n},
            }
        assert json.loads(json_socket.recv(SECONDS)) == {
            **message,
            "dataType": "text",
            "data": "",
            "stream": {
                "streamId": "s",
                "streamSequenceId": 4,
                "endOfStream": True,
                "error": {"name": "UserError", "message": "no more", "userErrorCode": "E1"},
            },
        }
        assert [simple.recv(SECONDS) for _ in range(3)] == ["a", '{"b": 1.0}', b"\x00\xff"]
        # Simple clients are not told of an end: the next that they get is the next message.
        simple.send("still here")
        assert simple.recv(SECONDS) == "still here"


def test_what_is_no_stream_is_closed(member):
    with member(roles=["webpubsub.sendToGroup.g"], groups=[]) as client:

        def check(expected, stream_id="s", **request):
            client.send(**request)
            assert closed(client, stream_id) == expected

        stream = {"stream_id": "s"}
        check("StreamNotFound", stream_data_message=stream)
        check("StreamNotFound", stream_end_message=stream)
        check("Forbidden", send_to_group_message={"group": "other", "stream": stream})
        to_g = {"group": "g", "stream": stream}
        data = {"data": {"text_data": ""}}
        check("BadRequest", send_to_group_message={**to_g, **data})
        no_time = {**stream, "idle_timeout_ms": 0}
        check("BadRequest", send_to_group_message={**to_g, "stream": no_time})
        check("BadRequest", "", send_to_group_message={**to_g, "stream": {"stream_id": ""}})
        check("StreamNotFound", stream_data_message={**stream, "stream_sequence_id": 1, **data})


def test_silence_for_too_long_ends_a_stream(member):
    with member(groups=[]) as writer, member() as reader:
        start(writer, "s", idle_timeout_ms=200)
        assert closed(writer, "s") == "IdleTimeout"
        number, (name, *_) = part(reader)
        assert (number, name) == (1, "IdleTimeout")
        # The id is free again.
        start(writer, "s")


def test_a_stream_ends_with_its_publisher(server, hub, member):
    with member() as reader:
        with member(groups=[]) as writer:
            start(writer, "s")
            write(writer, "s", 1, text_data="a")
            assert part(reader) == (1, "a")
            service = WebPubSubServiceClient.from_connection_string(
                server.connection_string(), hub=hub
            )
            service.close_connection(writer.connected.connection_id)
        number, (name, *_) = part(reader)
        assert (number, name) == (2, "Cancelled")


def test_a_stream_goes_on_after_the_socket_was_lost(server, hub):
    claims = {"roles": EVERY_ROLE}
    with connect_protobuf(server, hub, RELIABLE_PROTOCOL, groups=["g"], **claims) as reader:
        with connect_protobuf(server, hub, RELIABLE_PROTOCOL, **claims) as writer:
            start(writer, "s")
            write(writer, "s", 1, text_data="a")
            write(writer, "s", 2, text_data="b")
            acked(writer, "s", 3)
            writer.drop()
        with recover(server, hub, writer.connected) as again:
            write(again, "s", 2, text_data="b")
            write(again, "s", 3, text_data="c")
            end(again, "s")
            assert closed(again, "s") is None
        assert [part(reader) for _ in range(4)] == [(1, "a"), (2, "b"), (3, "c"), (4, None)]


@contextmanager
def subscribed(member, *states, **claims):
    """A subscriber to the states of `g`, which are these by connection id."""
    with member(**claims) as client:
        client.send(subscribe_group_state_message={"group": "g", "ack_id": 1})
        client.acked(1)
        assert group_state(client, "snapshot") == dict(states)
        yield client


def test_group_states_are_told_to_subscribers(member):
    with member(user="ann") as ann, member() as bob:
        ann_id, bob_id = ann.connected.connection_id, bob.connected.connection_id
        set_state(ann, 1, mood="good", place="here")
        with subscribed(member, (ann_id, {"mood": "good", "place": "here"})) as reader:
            set_state(bob, 1, mood="bad")
            assert group_state(reader, "update") == {bob_id: {"mood": "bad"}}
            set_state(ann, 2, mood="better")
            assert group_state(reader, "update") == {ann_id: {"mood": "better"}}
            # Without a state it is cleared, and so it is when its owner leaves.
            ann.send(set_group_state_message={"group": "g", "ack_id": 3})
            ann.acked(3)
            assert group_state(reader, "update") == {ann_id: None}
            bob.send(leave_group_message={"group": "g", "ack_id": 2})
            bob.acked(2)
            assert group_state(reader, "update") == {bob_id: None}
            reader.send(unsubscribe_group_state_message={"group": "g", "ack_id": 2})
            reader.acked(2)
            set_state(ann, 4, mood="alone")
            reader.publish("nothing in between", ack_id=3)
            assert reader.receive("data_message").data.text_data == "nothing in between"


def test_a_group_state_ends_with_its_connection(member):
    with member() as ann:
        set_state(ann, 1, mood="good")
        ann_id = ann.connected.connection_id
        with subscribed(member, (ann_id, {"mood": "good"})) as reader:
            ann.socket.close(1000)
            assert group_state(reader, "update") == {ann_id: None}


def test_group_states_need_a_role_and_membership(member):
    for claims, error in [({"roles": None}, "Forbidden"), ({"groups": []}, "BadRequest")]:
        with member(**claims) as client:
            client.send(subscribe_group_state_message={"group": "g", "ack_id": 1})
            client.refused(1, error)
            state = {"entries": {"a": ""}}
            client.send(set_group_state_message={"group": "g", "ack_id": 2, "state": state})
            client.refused(2, error)


def test_group_states_reach_json_clients_too(server, hub, member):
    url = server.client_url(hub, user="jo", roles=EVERY_ROLE, groups=["g"])
    with connect(url, subprotocols=["json.reliable.webpubsub.azure.v1"]) as socket, member() as ann:
        jo = json.loads(socket.recv(SECONDS))["connectionId"]
        socket.send(json.dumps({"type": "subscribeGroupState", "group": "g", "ackId": 1}))
        assert json.loads(socket.recv(SECONDS)) == {"type": "ack", "ackId": 1, "success": True}
        assert json.loads(socket.recv(SECONDS)) == {
            "sequenceId": 1,
            "type": "groupStateSnapshot",
            "group": "g",
            "items": [],
        }
        set_state(ann, 1, mood="good")
        update = json.loads(socket.recv(SECONDS))
        (item,) = update.pop("items")
        assert update == {"sequenceId": 2, "type": "groupStateUpdate", "group": "g"}
        assert item.pop("updatedAt") > 0
        assert item == {"connectionId": ann.connected.connection_id, "state": {"mood": "good"}}
        with subscribed(member, (ann.connected.connection_id, {"mood": "good"})) as reader:
            state = {"type": "setGroupState", "group": "g", "state": {"a": "b"}}
            socket.send(json.dumps(state))
            assert group_state(reader, "update") == {jo: {"a": "b"}}
