"""Streams and group states, as clients of the protobuf subprotocols send and read them."""


def start(client, stream_id, **options):
    client.send(
        send_to_group_message={"group": "g", "stream": {"stream_id": stream_id, **options}}
    )
    acked(client, stream_id, 1)


def write(client, stream_id, n, **data):
    client.send(
        stream_data_message={"stream_id": stream_id, "stream_sequence_id": n, "data": data}
    )


def end(client, stream_id, **error):
    client.send(stream_end_message={"stream_id": stream_id, **({"error": error} if error else {})})


def acked(client, stream_id, expected):
    """Waits for the acknowledgement; those on the way to it only rise."""
    before = 0
    while before != expected:
        ack = client.receive("stream_ack_message")
        assert ack.stream_id == stream_id
        assert before <= ack.expected_sequence_id <= expected
        before = ack.expected_sequence_id


def closed(client, stream_id):
    """Waits for the end, past acknowledgements; returns the name of the error if there is one."""
    while True:
        kind, message = client.receive()
        assert message.stream_id == stream_id
        if kind == "stream_closed_message":
            return message.error.name if message.HasField("error") else None
        assert kind == "stream_ack_message"


def part(client):
    """The next part of a stream: its number and text, the last time with how it ended."""
    message = client.receive("data_message")
    assert (getattr(message, "from"), message.group) == ("group", "g")
    assert message.HasField("sequence_id") == client.reliable
    stream = message.stream
    if not stream.end_of_stream:
        return stream.stream_sequence_id, message.data.text_data
    assert message.data.text_data == ""
    error = (stream.error.name, stream.error.message, stream.error.user_error_code)
    return stream.stream_sequence_id, error if stream.HasField("error") else None


def set_state(client, ack_id, **entries):
    client.send(
        set_group_state_message={"group": "g", "ack_id": ack_id, "state": {"entries": entries}}
    )
    client.acked(ack_id)


def group_state(client, kind):
    """The next snapshot or update: the states by connection id."""
    message = client.receive(f"group_state_{kind}_message")
    assert message.group == "g"
    assert message.HasField("sequence_id") == client.reliable
    assert all(item.updated_at > 0 for item in message.items)
    return {
        item.connection_id: dict(item.state.entries) if item.HasField("state") else None
        for item in message.items
    }
