"""Every method of `azure-messaging-webpubsubservice`, blocking and asyncio, over http and https.

Clients watch the effects. A text that is not ASCII is sent as bytes: the asyncio client announces
the length of a `str` in characters, and so cuts it short. The odd names of users and groups are those that the JavaScript suite
uses too. This library cannot name `.` and `..`: URLs resolve them before they are sent.
"""

import asyncio
import inspect
import io
import json
import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from pathlib import Path

import jwt
import pytest
from azure.core.credentials import AccessToken, AzureKeyCredential
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
)
from azure.core.rest import HttpRequest
from azure.messaging.webpubsubservice import WebPubSubServiceClient
from azure.messaging.webpubsubservice.aio import WebPubSubServiceClient as AsyncServiceClient
from websockets.exceptions import ConnectionClosed

from sockets import connect

JSON_PROTOCOL = "json.webpubsub.azure.v1"
EVERY_ROLE = ["webpubsub.joinLeaveGroup", "webpubsub.sendToGroup"]
TEXT = {"content_type": "text/plain"}
BINARY = {"content_type": "application/octet-stream"}
SECONDS = 10

NAMES = json.loads((Path(__file__).parent.parent / "odd-names.json").read_text(encoding="utf-8"))
NAMES += ["x" * 1024, "ü/" * 256]


class Blocking:
    """Either client, one call after the other, so that both run the same tests.

    It notes the methods that are called.
    """

    def __init__(self, client, runner, called):
        self._client, self._runner, self._called = client, runner, called

    def __getattr__(self, name):
        member = getattr(self._client, name)
        if not callable(member):
            return member

        def call(*args, **kwargs):
            self._called.add(name)
            result = member(*args, **kwargs)
            if hasattr(result, "__aiter__"):
                return self._run(_collect(result))
            return self._run(result) if inspect.isawaitable(result) else result

        return call

    def pages(self, **kwargs):
        """The sizes of the pages of a listing."""
        self._called.add("list_connections")
        pages = self._client.list_connections(**kwargs).by_page()
        if hasattr(pages, "__aiter__"):
            return self._run(_collect(pages, _page_size))
        return [len(list(page)) for page in pages]

    def _run(self, awaitable):
        return self._runner.run(_await(awaitable))


async def _await(awaitable):
    return await awaitable


async def _collect(items, convert=None):
    return [await convert(item) if convert else item async for item in items]


async def _page_size(page):
    return len([item async for item in page]) if hasattr(page, "__aiter__") else len(list(page))


@contextmanager
def connected(url):
    """A client that reads what arrives."""
    with connect(url, subprotocols=[JSON_PROTOCOL]) as socket:
        yield Watcher(socket)


class Watcher:
    def __init__(self, socket):
        self._socket = socket
        self._ack_id = 0
        greeting = self.next()
        self.connection_id, self.user_id = greeting["connectionId"], greeting.get("userId")

    def next(self):
        return json.loads(self._socket.recv(SECONDS))

    def data(self):
        return self.next()["data"]

    def ask(self, **request):
        """Sends a request and returns the name of the error, or `None`."""
        self._ack_id += 1
        self._socket.send(json.dumps({**request, "ackId": self._ack_id}))
        ack = self.next()
        assert (ack["type"], ack["ackId"]) == ("ack", self._ack_id)
        return None if ack["success"] else ack["error"]["name"]

    def farewell(self):
        """The text with which the server closes the connection."""
        message = self.next()
        assert (message["type"], message["event"]) == ("system", "disconnected")
        with pytest.raises(ConnectionClosed) as closed:
            self._socket.recv(SECONDS)
        assert closed.value.rcvd.code == 1000
        return message["message"]


@pytest.fixture(scope="session")
def called():
    return defaultdict(set)


@pytest.fixture(params=[WebPubSubServiceClient, AsyncServiceClient], ids=["sync", "aio"])
def kind(request):
    return request.param


@pytest.fixture
def make(server, hub, kind, called):
    """Makes service clients for the hub, from `make(CONSTRUCTOR_OF_THE_CLASS, …)`."""
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())

        def make(construct, *args, **kwargs):
            client = construct(*args, hub=hub, retry_total=0, **kwargs)
            service = Blocking(client, runner, called[server.access, kind])
            stack.callback(service.close)
            return service

        yield make


@pytest.fixture
def service(server, kind, make, called):
    called[server.access, kind].add("from_connection_string")
    return make(kind.from_connection_string, server.connection_string())


@pytest.fixture
def watch(service):
    """Starts clients with tokens of the library's making."""
    with ExitStack() as stack:

        def watch(user=None, groups=None, roles=EVERY_ROLE):
            token = service.get_client_access_token(user_id=user, roles=roles, groups=groups)
            return stack.enter_context(connected(token["url"]))

        yield watch


def last(service, *watchers):
    """Shows that the watchers have read everything that was for them."""
    service.send_to_all("the last", **TEXT)
    for watcher in watchers:
        assert watcher.data() == "the last"


def test_tokens(service, server, hub, watch):
    token = service.get_client_access_token(
        user_id="ann",
        roles=["webpubsub.sendToGroup.g"],
        groups=["g"],
        minutes_to_expire=5,
        jwt_headers={"kid": "mine"},
    )
    base = server.endpoint.replace("http", "ws", 1)
    assert token["baseUrl"] == f"{base}/client/hubs/{hub}"
    assert token["url"] == f"{token['baseUrl']}?access_token={token['token']}"
    claims = jwt.decode(token["token"], options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 300
    assert jwt.get_unverified_header(token["token"])["kid"] == "mine"
    with connected(token["url"]) as ann:
        assert ann.user_id == "ann"
        service.send_to_group("g", "in from the start", **TEXT)
        assert ann.data() == "in from the start"
        assert ann.ask(type="leaveGroup", group="g") == "Forbidden"
    assert watch().user_id is None
    for protocol, path in [("MQTT", "clients/mqtt"), ("SocketIO", "clients/socketio")]:
        url = service.get_client_access_token(client_protocol=protocol)["baseUrl"]
        assert url == f"{base}/{path}/hubs/{hub}"


def test_the_server_makes_tokens_for_a_caller_without_a_key(server, hub, kind, make):
    if server.access[1] != "https":
        pytest.skip("the library sends bearer tokens over https alone")
    audience = f"{server.endpoint}/api/hubs/{hub}/:generateToken"
    expiry = int(time.time()) + 300
    token = AccessToken(server.token({"aud": audience, "exp": expiry}), expiry)

    class Credential:
        def get_token(self, *_, **__):
            return token

    class AsyncCredential:
        async def get_token(self, *_, **__):
            return token

    credential = Credential() if kind is WebPubSubServiceClient else AsyncCredential()
    service = make(kind, endpoint=server.endpoint, credential=credential)
    made = service.get_client_access_token(
        user_id="änn/1", roles=["webpubsub.sendToGroup.g"], groups=["g", "a b"], minutes_to_expire=10
    )
    with connected(made["url"]) as ann:
        assert ann.user_id == "änn/1"
        assert ann.ask(type="sendToGroup", group="h", dataType="text", data="x") == "Forbidden"
    with connected(service.get_client_access_token()["url"]) as anonymous:
        assert anonymous.user_id is None


def test_every_kind_of_body_to_every_kind_of_target(service, watch):
    ann = watch("ann", ["g"])
    simple_token = service.get_client_access_token(user_id="ann", groups=["g"])
    targets = [
        service.send_to_all,
        lambda *a, **k: service.send_to_user("ann", *a, **k),
        lambda *a, **k: service.send_to_group("g", *a, **k),
        lambda *a, **k: service.send_to_connection(ann.connection_id, *a, **k),
    ]
    bodies = [
        ("text", "text", "text", TEXT),
        ("text", "tëxt", "tëxt".encode(), TEXT),
        ("json", {"a": [1, None, "ü"]}, {"a": [1, None, "ü"]}, {}),
        ("json", "a string", "a string", {}),
        ("binary", "AMj/", b"\x00\xc8\xff", BINARY),
        ("binary", "AMj/", lambda: io.BytesIO(b"\x00\xc8\xff"), BINARY),
    ]
    with connect(simple_token["url"]) as simple:
        # A simple client is told nothing when it is in its groups; the answer shows it.
        simple.send("here")
        assert simple.recv(SECONDS) == "here"
        for send in targets:
            for data_type, data, message, options in bodies:
                send(message() if callable(message) else message, **options)
                received = ann.next()
                assert (received["dataType"], received["data"]) == (data_type, data)
        for _ in targets[:-1]:
            assert simple.recv(SECONDS) == "text"
            assert simple.recv(SECONDS) == "tëxt"
            assert json.loads(simple.recv(SECONDS)) == {"a": [1, None, "ü"]}
            assert simple.recv(SECONDS) == '"a string"'
            assert simple.recv(SECONDS) == b"\x00\xc8\xff"
            assert simple.recv(SECONDS) == b"\x00\xc8\xff"


def test_excluded_and_filtered(service, watch):
    ann, bob = watch("ann", ["g"]), watch("bob", ["g", "h"])
    nobody = watch(None, ["g"])
    service.send_to_all("not bob", excluded=[bob.connection_id, "nobody"], **TEXT)
    service.send_to_group("g", "not ann", excluded=[ann.connection_id], **TEXT)
    service.send_to_all("h", filter="'h' in groups", **TEXT)
    service.send_to_group("g", "anonymous", filter="userId eq null", **TEXT)
    service.send_to_user("bob", "unseen", filter="not ('h' in groups)", **TEXT)
    service.send_to_user("bob", "seen", filter="length(groups) eq 2", **TEXT)
    assert ann.data() == "not bob"
    assert [bob.data() for _ in range(3)] == ["not ann", "h", "seen"]
    assert [nobody.data() for _ in range(3)] == ["not bob", "not ann", "anonymous"]
    last(service, ann, bob, nobody)
    with pytest.raises(HttpResponseError, match="Syntax error at position 14") as refused:
        service.send_to_all("x", filter="invalid filter", **TEXT)
    assert refused.value.status_code == 400


def test_sending_to_what_is_not_there_is_accepted(service):
    service.send_to_all("x", **TEXT)
    service.send_to_user("nobody", "x", **TEXT)
    service.send_to_group("none", "x", **TEXT)
    service.send_to_connection("nothing", "x", **TEXT)


def test_exists(service, watch):
    assert not service.user_exists("ann")
    ann = watch("ann", ["g"])
    assert service.user_exists("ann")
    assert not service.user_exists("ANN")
    assert service.group_exists("g")
    assert not service.group_exists("G")
    assert service.connection_exists(ann.connection_id)
    assert not service.connection_exists("nothing")


def test_connections_join_and_leave(service, watch):
    ann, bob = watch("ann"), watch("bob")
    service.add_connection_to_group("g", ann.connection_id)
    service.add_connection_to_group("g", ann.connection_id)
    service.send_to_group("g", "in", **TEXT)
    assert ann.data() == "in"
    service.remove_connection_from_group("g", ann.connection_id)
    assert not service.group_exists("g")
    for group in "ab":
        service.add_connection_to_group(group, ann.connection_id)
    service.remove_connection_from_all_groups(ann.connection_id)
    assert not service.group_exists("a")
    assert not service.group_exists("b")
    last(service, ann, bob)


def test_users_join_and_leave(service, watch):
    first, second, bob = watch("ann"), watch("ann"), watch("bob")
    service.add_user_to_group("g", "ann")
    service.send_to_group("g", "both", **TEXT)
    assert (first.data(), second.data()) == ("both", "both")
    service.remove_user_from_group("g", "ann")
    assert not service.group_exists("g")
    for group in "ab":
        service.add_user_to_group(group, "ann")
    service.remove_user_from_all_groups("ann")
    assert not service.group_exists("a")
    assert not service.group_exists("b")
    last(service, first, second, bob)


def test_membership_of_what_is_not_there(service):
    for add, code in [
        (service.add_connection_to_group, "Error.Connection.NotExisted"),
        (service.add_user_to_group, "Warning.User.NotExisted"),
    ]:
        with pytest.raises(ResourceNotFoundError) as missing:
            add("g", "nothing")
        assert missing.value.error.code == code
    service.remove_connection_from_group("g", "nothing")
    service.remove_connection_from_all_groups("nothing")
    service.remove_user_from_group("g", "nobody")
    service.remove_user_from_all_groups("nobody")


def test_permissions(service, watch):
    ann = watch("ann", ["g"], roles=None)
    send = {"type": "sendToGroup", "group": "g", "dataType": "text", "data": "x", "noEcho": True}
    join = {"type": "joinGroup", "group": "h"}
    for permission, request, target in [("sendToGroup", send, "g"), ("joinLeaveGroup", join, "h")]:
        common = (permission, ann.connection_id)
        assert ann.ask(**request) == "Forbidden"
        assert not service.has_permission(*common, target_name=target)
        service.grant_permission(*common, target_name=target)
        service.grant_permission(*common, target_name=target)
        assert service.has_permission(*common, target_name=target)
        assert not service.has_permission(*common, target_name="another")
        assert ann.ask(**request) is None
        service.revoke_permission(*common, target_name=target)
        assert not service.has_permission(*common, target_name=target)
        assert ann.ask(**request) == "Forbidden"
        service.grant_permission(*common)
        assert service.has_permission(*common)
        assert service.has_permission(*common, target_name="another")
        assert ann.ask(**request) is None
        service.revoke_permission(*common)
        assert not service.has_permission(*common)
        assert ann.ask(**request) == "Forbidden"
    with pytest.raises(ResourceNotFoundError) as missing:
        service.grant_permission("sendToGroup", "nothing", target_name="g")
    assert missing.value.error.code == "Info.Connection.NotExisted"
    assert not service.has_permission("sendToGroup", "nothing", target_name="g")
    service.revoke_permission("sendToGroup", "nothing", target_name="g")


def test_closing(service, watch):
    prefix = "Application server closed the connection."
    ann, ann_too = watch("ann", ["g"]), watch("ann")
    bob, eve = watch("bob", ["g"]), watch("eve")
    service.close_group_connections("g", excluded=[bob.connection_id], reason="enough: 50 % ü?")
    assert ann.farewell() == f"{prefix} Reason: enough: 50 % ü?"
    service.close_user_connections("ann")
    assert ann_too.farewell() == prefix
    service.close_all_connections(excluded=[eve.connection_id, "nobody"], reason="closing time")
    assert bob.farewell() == f"{prefix} Reason: closing time"
    service.close_connection(eve.connection_id, reason="y" * 300)
    assert eve.farewell() == f"{prefix} Reason: {'y' * 300}"
    assert not service.connection_exists(eve.connection_id)
    service.close_connection("nothing")
    service.close_group_connections("none")
    service.close_user_connections("nobody")
    service.close_all_connections()


def test_listing(service, watch):
    watchers = [watch(user, ["g"]) for user in ["ann", "bob", None, "dan", "eve"]]
    expected = sorted((watcher.connection_id, watcher.user_id) for watcher in watchers)

    def listed(**options):
        members = service.list_connections(group="g", **options)
        return [(member.connection_id, member.user_id) for member in members]

    assert listed() == expected
    assert listed(top=3) == expected[:3]
    assert listed(maxpagesize=2) == expected
    assert listed(maxpagesize=2, top=3) == expected[:3]
    assert service.pages(group="g", maxpagesize=2) == [2, 2, 1]
    assert list(service.list_connections(group="empty")) == []


def test_both_keys_work_side_by_side_and_another_one_does_not(server, kind, make, service, watch):
    ann = watch("ann")
    other = make(kind.from_connection_string, server.connection_string(server.other_key))
    other.send_to_user("ann", "signed with the other key", **TEXT)
    assert ann.data() == "signed with the other key"
    with connected(other.get_client_access_token(user_id="bob")["url"]):
        assert service.user_exists("bob")
    stranger = make(kind.from_connection_string, server.connection_string("w" * 44))
    with pytest.raises(ClientAuthenticationError) as refused:
        stranger.send_to_all("x", **TEXT)
    assert refused.value.status_code == 401


def test_an_endpoint_and_a_key_do_what_a_connection_string_does(server, kind, make, watch):
    ann = watch("ann")
    credential = AzureKeyCredential(server.key)
    service = make(kind, endpoint=server.endpoint, credential=credential, user="the application")
    service.send_to_user("ann", "by parts", **TEXT)
    assert ann.data() == "by parts"


def test_a_request_of_ones_own(service):
    response = service.send_request(HttpRequest("HEAD", "/api/health"))
    assert response.status_code == 200


@pytest.mark.parametrize("name", NAMES, ids=lambda name: f"{name[:8]!a}-{len(name)}")
def test_odd_names(service, watch, name):
    ann, bob = watch(name, [name]), watch(f"{name}2")
    assert ann.user_id == name
    assert service.user_exists(name)
    assert service.group_exists(name)
    service.send_to_user(name, name.encode(), **TEXT)
    assert ann.data() == name
    quoted = "'" + name.replace("'", "''") + "'"
    if len(name) <= 30:
        service.send_to_all("filtered", filter=f"userId eq {quoted} and {quoted} in groups", **TEXT)
        assert ann.data() == "filtered"
    service.send_to_group(name, name.encode(), **TEXT)
    message = ann.next()
    assert (message["group"], message["data"]) == (name, name)

    service.add_connection_to_group(name, bob.connection_id)
    listed = service.list_connections(group=name, maxpagesize=1)
    assert [member.connection_id for member in listed] == sorted(
        [ann.connection_id, bob.connection_id]
    )
    service.remove_connection_from_group(name, bob.connection_id)

    permission = ("sendToGroup", bob.connection_id)
    service.grant_permission(*permission, target_name=name)
    assert service.has_permission(*permission, target_name=name)
    assert bob.ask(type="sendToGroup", group=name, dataType="text", data="hi") is None
    assert ann.next()["fromUserId"] == f"{name}2"
    service.revoke_permission(*permission, target_name=name)
    assert not service.has_permission(*permission, target_name=name)

    service.remove_user_from_group(name, name)
    assert not service.group_exists(name)
    service.add_user_to_group(name, name)
    assert service.group_exists(name)
    service.remove_user_from_all_groups(name)
    assert not service.group_exists(name)
    service.close_user_connections(name, reason=name)
    assert ann.farewell() == f"Application server closed the connection. Reason: {name}"


def test_no_method_was_left_out(server, kind, called):
    public = {name for name in dir(kind) if not name.startswith("_")}
    assert called[server.access, kind] == {name for name in public if callable(getattr(kind, name))}
