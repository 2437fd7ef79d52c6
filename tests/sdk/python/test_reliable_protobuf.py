"""protobuf.reliable.webpubsub.azure.v1, spoken by Google's own library."""

import time
from contextlib import contextmanager

import pytest
from azure.messaging.webpubsubservice import WebPubSubServiceClient

from protobuf_client import (
    EVERY_ROLE,
    RELIABLE_PROTOCOL,
    connect_protobuf,
    open_protobuf,
    recover,
)


@pytest.fixture
def service(server, hub):
    return WebPubSubServiceClient.from_connection_string(
        server.connection_string(), hub=hub, retry_total=0
    )


@contextmanager
def connect_reliable(server, hub, **claims):
    """A client with every permission in the group `g`."""
    claims = {"roles": EVERY_ROLE, "groups": ["g"], **claims}
    with connect_protobuf(server, hub, RELIABLE_PROTOCOL, **claims) as client:
        assert client.connected.reconnection_token
        yield client


def tell(service, text):
    service.send_to_all(text, content_type="text/plain")


def test_messages_have_numbers_and_nothing_else_does(server, hub, service):
    with connect_reliable(server, hub, user="ann") as ann:
        assert ann.connected.user_id == "ann"
        ann.publish("one", ack_id=1)
        assert ann.numbered() == (1, "one")
        ann.acked(1)
        tell(service, "two")
        assert ann.numbered() == (2, "two")
        ann.send(ping_message={})
        ann.receive("pong_message")
        ann.send(event_message={"event": "echo", "data": {"text_data": "three"}, "ack_id": 2})
        assert ann.numbered() == (3, "three")
        ann.acked(2)
        # Whatever is acknowledged, lower, higher or again, is fine.
        for sequence_id in [2, 1, 0, 2, 99]:
            ann.send(sequence_ack_message={"sequence_id": sequence_id})
        ann.publish("four")
        assert ann.numbered() == (4, "four")


def test_who_comes_back_gets_what_it_did_not_acknowledge(server, hub, service):
    with connect_reliable(server, hub, user="ann") as ann:
        for n, text in enumerate(["one", "two", "three"], start=1):
            tell(service, text)
            assert ann.numbered() == (n, text)
        ann.send(sequence_ack_message={"sequence_id": 1})
        # Its answer tells that the acknowledgement was read.
        ann.publish("four", ack_id=7)
        assert ann.numbered() == (4, "four")
        ann.acked(7)
        ann.drop()
        tell(service, "five")
    with recover(server, hub, ann.connected) as again:
        assert [again.numbered() for _ in range(4)] == [
            (2, "two"),
            (3, "three"),
            (4, "four"),
            (5, "five"),
        ]
        # The groups and the ack ids are those from before.
        again.publish("not again", ack_id=7)
        again.refused(7, "Duplicate")
        again.publish("six", ack_id=8)
        assert again.numbered() == (6, "six")
        again.acked(8)
        again.send(sequence_ack_message={"sequence_id": 6})
        again.send(ping_message={})
        again.receive("pong_message")
        again.drop()
    # The first token is still good.
    with recover(server, hub, ann.connected) as third:
        tell(service, "seven")
        assert third.numbered() == (7, "seven")


def test_a_socket_that_seems_to_live_makes_way(server, hub, service):
    with connect_reliable(server, hub) as first:
        tell(service, "one")
        assert first.numbered() == (1, "one")
        with recover(server, hub, first.connected) as second:
            assert second.numbered() == (1, "one")
            assert first.closed() in (None, 1001)
            second.publish("two")
            assert second.numbered() == (2, "two")


def test_what_cannot_be_recovered_is_refused_inside_the_websocket(server, hub, service):
    def refused(connection_id, token, protocol=RELIABLE_PROTOCOL):
        url = server.client_url(
            hub, awps_connection_id=connection_id, awps_reconnection_token=token
        )
        with open_protobuf(url, protocol) as client:
            assert client.closed() == 1008

    with connect_reliable(server, hub) as ann, connect_reliable(server, hub) as bob:
        refused("unknown", ann.connected.reconnection_token)
        refused(ann.connected.connection_id, "nonsense")
        refused(ann.connected.connection_id, bob.connected.reconnection_token)
        service.close_connection(bob.connected.connection_id)
        assert bob.closed() == 1000
        refused(bob.connected.connection_id, bob.connected.reconnection_token)
        # None of it has harmed the other one.
        tell(service, "here")
        assert ann.numbered() == (1, "here")
        ann.socket.close(1000)
        refused(ann.connected.connection_id, ann.connected.reconnection_token)


def test_what_lives_for_a_second_is_not_kept_longer(server, hub):
    with connect_reliable(server, hub) as ann:
        ann.drop()
    with connect_protobuf(server, hub, roles=EVERY_ROLE) as publisher:
        publisher.publish("short", ttl_seconds=1, ack_id=1)
        publisher.acked(1)
        publisher.publish("long", ttl_seconds=300, ack_id=2)
        publisher.acked(2)
        over = time.monotonic() + 1.5
        while time.monotonic() < over:
            time.sleep(0.01)
    with recover(server, hub, ann.connected) as again:
        assert again.numbered() == (2, "long")


def test_metadata_travels_with_data_or_alone(server, hub):
    with (
        connect_protobuf(server, hub, roles=EVERY_ROLE, groups=["g"]) as plain,
        connect_reliable(server, hub) as reliable,
    ):
        for data in ({"text_data": "hi"}, None):
            request = {"group": "g", "metadata": {"Trace": "7", "x-y": ""}}
            if data is not None:
                request["data"] = data
            plain.send(send_to_group_message=request)
            for client in (plain, reliable):
                message = client.receive("data_message")
                assert dict(message.metadata) == {"Trace": "7", "x-y": ""}
                assert message.data.WhichOneof("one") == "text_data"
                assert message.data.text_data == ("hi" if data else "")


@pytest.mark.parametrize("metadata", [{"a b": ""}, {"ä": ""}, {"a": "ä"}, {"k" * 257: ""}])
def test_what_is_not_metadata_ends_the_connection(server, hub, metadata):
    with connect_reliable(server, hub) as client:
        client.publish("", metadata=metadata)
        assert client.closed() == 1007
