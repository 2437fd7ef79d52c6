"""What clients of the reliable protobuf subprotocol find again after the server has restarted."""

import time
from contextlib import ExitStack

import pytest

from protobuf_client import EVERY_ROLE, PROTOCOL, RELIABLE_PROTOCOL, connect_protobuf, recover
from server import Server
from streams import acked, closed, end, group_state, part, set_state, start, write

SHARDS = [(1, 4), (4, 1), (4, 4)]


@pytest.fixture(params=SHARDS, ids=lambda shards: "{}-{}".format(*shards))
def restarted(request):
    """Runs `before(connect)`, restarts, and runs `after(recover, …)` with what that returned."""
    before_it, after_it = request.param

    def run(before, after):
        with ExitStack() as stack:
            server = stack.enter_context(Server(before_it, keeps_sessions=True))
            hub = server.new_hub()

            def connect(**claims):
                usual = {"protocol": RELIABLE_PROTOCOL, "roles": EVERY_ROLE, "groups": ["g"]}
                claims = {**usual, **claims}
                return stack.enter_context(connect_protobuf(server, hub, **claims))

            def find_again(client):
                return stack.enter_context(recover(server, hub, client.connected))

            known = before(connect)
            server.restart(after_it)
            after(find_again, *known)

    return run


def test_unacknowledged_messages_and_ack_ids_are_kept(restarted):
    def before(connect):
        ann, bob = connect(user="ann"), connect(user="bob")
        for n in range(1, 4):
            bob.publish(f"message {n}", ack_id=n)
            assert ann.numbered() == (n, f"message {n}")
            assert bob.numbered() == (n, f"message {n}")
            bob.acked(n)
        ann.send(sequence_ack_message={"sequence_id": 1})
        ann.send(ping_message={})
        ann.receive("pong_message")
        bob.drop()
        ann.publish("for who is away")
        assert ann.numbered() == (4, "for who is away")
        return ann, bob

    def after(recover, ann, bob):
        ann, bob = recover(ann), recover(bob)
        assert [ann.numbered()[0] for _ in range(3)] == [2, 3, 4]
        assert [bob.numbered() for _ in range(4)] == [
            (1, "message 1"),
            (2, "message 2"),
            (3, "message 3"),
            (4, "for who is away"),
        ]
        bob.publish("not again", ack_id=3)
        bob.refused(3, "Duplicate")
        bob.publish("again", ack_id=4)
        assert ann.numbered() == (5, "again")
        assert bob.numbered() == (5, "again")
        bob.acked(4)
        ann.send(join_group_message={"group": "other", "ack_id": 1})
        ann.acked(1)

    restarted(before, after)


def test_what_lives_for_a_second_is_not_kept_longer(restarted):
    over = []

    def before(connect):
        ann, bob = connect(user="ann"), connect(user="bob")
        ann.drop()
        bob.publish("short", ttl_seconds=1, ack_id=1)
        assert bob.numbered() == (1, "short")
        bob.acked(1)
        bob.publish("long", ttl_seconds=300, ack_id=2)
        assert bob.numbered() == (2, "long")
        bob.acked(2)
        over.append(time.monotonic() + 1.5)
        return ann, bob

    def after(recover, ann, bob):
        while time.monotonic() < over[0]:
            time.sleep(0.01)
        assert recover(ann).numbered() == (2, "long")

    restarted(before, after)


def test_streams_go_on(restarted):
    def before(connect):
        reader, writer = connect(), connect(groups=[])
        start(writer, "s")
        write(writer, "s", 1, text_data="a")
        write(writer, "s", 2, text_data="b")
        acked(writer, "s", 3)
        return reader, writer

    def after(recover, reader, writer):
        reader, writer = recover(reader), recover(writer)
        write(writer, "s", 2, text_data="b")
        write(writer, "s", 3, text_data="c")
        end(writer, "s")
        assert closed(writer, "s") is None
        assert [part(reader) for _ in range(4)] == [(1, "a"), (2, "b"), (3, "c"), (4, None)]

    restarted(before, after)


def test_what_belongs_to_who_cannot_come_back_ends(restarted):
    def before(connect):
        reader = connect()
        reader.send(subscribe_group_state_message={"group": "g", "ack_id": 1})
        reader.acked(1)
        assert group_state(reader, "snapshot") == {}
        writer = connect(groups=["g"], protocol=PROTOCOL)
        set_state(writer, 1, mood="good")
        assert group_state(reader, "update") == {writer.connected.connection_id: {"mood": "good"}}
        start(writer, "s")
        write(writer, "s", 1, text_data="a")
        assert part(reader) == (1, "a")
        reader.send(sequence_ack_message={"sequence_id": 3})
        reader.send(ping_message={})
        reader.receive("pong_message")
        return reader, writer

    def after(recover, reader, writer):
        reader = recover(reader)
        found = [reader.receive(), reader.receive()]
        ends = dict(found)
        assert ends["data_message"].stream.error.name == "Cancelled"
        (item,) = ends["group_state_update_message"].items
        assert item.connection_id == writer.connected.connection_id
        assert not item.HasField("state")

    restarted(before, after)


def test_group_states_are_kept(restarted):
    def before(connect):
        ann, reader = connect(user="ann"), connect(user="rita")
        set_state(ann, 1, mood="good")
        reader.send(subscribe_group_state_message={"group": "g", "ack_id": 1})
        reader.acked(1)
        assert group_state(reader, "snapshot") == {ann.connected.connection_id: {"mood": "good"}}
        return ann, reader

    def after(recover, ann, reader):
        ann_id = ann.connected.connection_id
        ann, reader = recover(ann), recover(reader)
        assert group_state(reader, "snapshot") == {ann_id: {"mood": "good"}}
        set_state(ann, 2, mood="better")
        assert group_state(reader, "update") == {ann_id: {"mood": "better"}}
        ann.socket.close(1000)
        assert group_state(reader, "update") == {ann_id: None}

    restarted(before, after)
