"""The schema of the protobuf subprotocols for Google's own library, built without a compiler."""

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "webpubsub"
FIELD = descriptor_pb2.FieldDescriptorProto

# Messages, and their fields as `number name type`. `?` after a type makes a field optional, `*`
# repeated, `|` one of the message's oneof; `{}` is a map from string to string.
SCHEMA = {
    "UpstreamMessage": [
        "1 send_to_group_message SendToGroupMessage|",
        "5 event_message EventMessage|",
        "6 join_group_message JoinGroupMessage|",
        "7 leave_group_message LeaveGroupMessage|",
        "8 sequence_ack_message SequenceAckMessage|",
        "9 ping_message PingMessage|",
        "13 stream_data_message StreamDataMessage|",
        "14 stream_end_message StreamEndMessage|",
        "15 set_group_state_message SetGroupStateMessage|",
        "16 subscribe_group_state_message SubscribeGroupStateMessage|",
        "17 unsubscribe_group_state_message UnsubscribeGroupStateMessage|",
    ],
    "SendToGroupMessage": [
        "1 group string",
        "2 ack_id uint64?",
        "3 data MessageData",
        "4 no_echo bool?",
        "5 ttl_seconds uint32?",
        "6 metadata {}",
        "7 stream StreamStartInfo",
    ],
    "StreamStartInfo": ["1 stream_id string", "2 idle_timeout_ms uint32?"],
    "EventMessage": [
        "1 event string",
        "2 data MessageData",
        "3 ack_id uint64?",
        "4 metadata {}",
    ],
    "JoinGroupMessage": ["1 group string", "2 ack_id uint64?"],
    "LeaveGroupMessage": ["1 group string", "2 ack_id uint64?"],
    "SequenceAckMessage": ["1 sequence_id uint64"],
    "PingMessage": [],
    "StreamDataMessage": [
        "1 stream_id string",
        "2 stream_sequence_id uint64?",
        "3 data MessageData",
    ],
    "StreamEndMessage": ["1 stream_id string", "2 error StreamEndError?"],
    "StreamEndError": ["1 message string?", "2 user_error_code string?"],
    "SetGroupStateMessage": ["1 group string", "2 ack_id uint64?", "3 state GroupState?"],
    "SubscribeGroupStateMessage": ["1 group string", "2 ack_id uint64?"],
    "UnsubscribeGroupStateMessage": ["1 group string", "2 ack_id uint64?"],
    "DownstreamMessage": [
        "1 ack_message AckMessage|",
        "2 data_message DataMessage|",
        "3 system_message SystemMessage|",
        "4 pong_message PongMessage|",
        "6 stream_ack_message StreamAckMessage|",
        "7 stream_nack_message StreamNackMessage|",
        "8 stream_closed_message StreamClosedMessage|",
        "9 group_state_update_message GroupStateMessage|",
        "10 group_state_snapshot_message GroupStateMessage|",
    ],
    "AckMessage": ["1 ack_id uint64", "2 success bool", "3 error ErrorMessage?"],
    "ErrorMessage": ["1 name string", "2 message string"],
    "DataMessage": [
        "1 from string",
        "2 group string?",
        "3 data MessageData",
        "4 sequence_id uint64?",
        "5 metadata {}",
        "6 stream StreamInfo",
    ],
    "StreamInfo": [
        "1 stream_id string",
        "2 stream_sequence_id uint64",
        "3 end_of_stream bool?",
        "4 error StreamError?",
    ],
    "StreamError": ["1 name string", "2 message string", "3 user_error_code string"],
    "SystemMessage": [
        "1 connected_message ConnectedMessage|",
        "2 disconnected_message DisconnectedMessage|",
    ],
    "ConnectedMessage": [
        "1 connection_id string",
        "2 user_id string",
        "3 reconnection_token string",
    ],
    "DisconnectedMessage": ["2 reason string"],
    "PongMessage": [],
    "StreamAckMessage": ["1 stream_id string", "2 expected_sequence_id uint64"],
    "StreamNackMessage": [
        "1 stream_id string",
        "2 name string",
        "3 message string",
        "4 expected_sequence_id uint64",
    ],
    "StreamClosedMessage": ["1 stream_id string", "2 error StreamClosedError?"],
    "StreamClosedError": ["1 name string", "2 message string"],
    "GroupStateMessage": [
        "1 group string",
        "2 items GroupStateItem*",
        "3 sequence_id uint64?",
    ],
    "GroupStateItem": [
        "1 connection_id string",
        "2 user_id string?",
        "3 state GroupState?",
        "4 updated_at int64",
    ],
    "GroupState": ["1 entries {}"],
    "MessageData": [
        "1 text_data string|",
        "2 binary_data bytes|",
        "3 protobuf_data google.protobuf.Any|",
        "4 json_data string|",
    ],
}

SCALARS = {
    "string": FIELD.TYPE_STRING,
    "bytes": FIELD.TYPE_BYTES,
    "bool": FIELD.TYPE_BOOL,
    "uint32": FIELD.TYPE_UINT32,
    "uint64": FIELD.TYPE_UINT64,
    "int64": FIELD.TYPE_INT64,
}


def _file():
    file = descriptor_pb2.FileDescriptorProto(
        name="webpubsub.proto",
        package=PACKAGE,
        syntax="proto3",
        dependency=[any_pb2.DESCRIPTOR.name],
    )
    for name, fields in SCHEMA.items():
        message = file.message_type.add(name=name)
        if any(field.endswith("|") for field in fields):
            message.oneof_decl.add(name="one")
        for field in fields:
            _add_field(message, *field.split(" "))
        # The oneofs that stand for `optional` come behind all others.
        for field in message.field:
            if field.proto3_optional:
                field.oneof_index = len(message.oneof_decl)
                message.oneof_decl.add(name=f"_{field.name}")
    return file


def _add_field(message, number, name, kind):
    field = message.field.add(name=name, number=int(number), label=FIELD.LABEL_OPTIONAL)
    if kind.endswith("|"):
        field.oneof_index = 0
    elif kind.endswith("*"):
        field.label = FIELD.LABEL_REPEATED
    kind, field.proto3_optional = kind.rstrip("?|*"), kind.endswith("?")
    if kind == "{}":
        # The library insists on the name.
        entry_name = name.title().replace("_", "") + "Entry"
        entry = message.nested_type.add(name=entry_name)
        entry.options.map_entry = True
        for number, name in [(1, "key"), (2, "value")]:
            entry.field.add(
                name=name, number=number, label=FIELD.LABEL_OPTIONAL, type=FIELD.TYPE_STRING
            )
        field.label, kind = FIELD.LABEL_REPEATED, f"{message.name}.{entry_name}"
    if kind in SCALARS:
        field.type = SCALARS[kind]
    else:
        field.type = FIELD.TYPE_MESSAGE
        field.type_name = f".{kind}" if kind.startswith("google") else f".{PACKAGE}.{kind}"


# The one that knows `Any` by its own class.
_POOL = descriptor_pool.Default()
_POOL.AddSerializedFile(_file().SerializeToString())


def _message_class(name):
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(name))


UpstreamMessage = _message_class(f"{PACKAGE}.UpstreamMessage")
DownstreamMessage = _message_class(f"{PACKAGE}.DownstreamMessage")
