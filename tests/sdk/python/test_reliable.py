"""`azure-messaging-webpubsubclient` with its defaults, over a network that breaks all the time."""

import asyncio
import json
import os
import queue
import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack

import pytest
from azure.messaging.webpubsubclient import WebPubSubClient
from azure.messaging.webpubsubclient.aio import WebPubSubClient as AsyncClient
from azure.messaging.webpubsubclient.models import (
    CallbackType,
    SendMessageError,
    WebPubSubDataType,
)
from azure.messaging.webpubsubservice import WebPubSubServiceClient

from fault_proxy import FaultProxy
from server import Server

RUN_SECONDS = float(os.environ.get("FAULT_SECONDS", "10"))
FIRST_SEED = int(os.environ.get("FAULT_SEED") or secrets.randbelow(2**31))
PAUSE_SECONDS = 0.04
SETTLE_SECONDS = 60
SECONDS = 10

EVERY_ROLE = ["webpubsub.joinLeaveGroup", "webpubsub.sendToGroup"]
GAPS = {"shortest_gap": 100, "longest_gap": 1000}

# The blocking client misses an answer that comes before it begins to wait, notices it only at the
# end of the time given here, and then goes on as if nothing had happened.
SHORT = {"start_timeout": 3, "ack_timeout": 3}
# An ack id that the caller chose is the client's own only in its first attempt.
ONE_ATTEMPT = {"message_retry_total": 0}


class Source:
    """Numbered messages to the group, and how often each of them may have been sent."""

    def __init__(self, name):
        self.name, self.sent, self.attempts = name, 0, {}

    def content(self):
        n = self.sent + 1
        label = {"name": self.name, "n": n}
        text = json.dumps(label)
        return [
            (text, WebPubSubDataType.TEXT),
            (label, WebPubSubDataType.JSON),
            (memoryview(text.encode()), WebPubSubDataType.BINARY),
        ][n % 3]

    def succeeded(self, attempts):
        self.sent += 1
        self.attempts[self.sent] = max(1, attempts)


class Receiver:
    """What one client got, in the server's order: the SDKs run every callback on its own."""

    def __init__(self, name):
        self.name, self.connected, self.disconnected = name, queue.Queue(), queue.Queue()
        self._arrived = queue.Queue()
        self._messages = []

    def take(self, message):
        self._arrived.put(message)

    def numbers(self):
        while not self._arrived.empty():
            self._messages.append(self._arrived.get())
        self._messages.sort(key=lambda message: message.sequence_id)
        numbers = {}
        for message in self._messages:
            label = label_of(message.data)
            numbers.setdefault(label["name"], []).append(label["n"])
        return numbers

    def findings(self, sources):
        """What is wrong, in lines for a person."""
        numbers = self.numbers()
        for source in sources:
            for line in differences(numbers.get(source.name, []), source):
                yield f"{self.name}: {source.name}: {line}"
        if self.connected.qsize() != 1 or self.disconnected.qsize() != 0:
            yield (
                f"{self.name}: connected {self.connected.qsize()} times,"
                f" disconnected {self.disconnected.qsize()} times"
            )


def label_of(data):
    if isinstance(data, dict):
        return data
    return json.loads(data if isinstance(data, str) else bytes(data))


def differences(numbers, source):
    last, copies = 0, 0
    for at, n in enumerate(numbers):
        around = f"around it: {numbers[max(0, at - 3) : at + 4]}"
        if n == last:
            copies += 1
            if copies > source.attempts[n]:
                yield f"{n} came {copies} times and was sent {source.attempts[n]} times"
            continue
        if n < last:
            yield f"{n} came after {last}; {around}"
            continue
        if n > last + 1:
            yield f"{last + 1} to {n - 1} did not come; {around}"
        last, copies = n, 1
    if last < source.sent:
        yield f"{last + 1} to {source.sent} at the end did not come"


class Run:
    """A server that restarts halfway, behind a proxy that breaks connections."""

    def __init__(self, shards, seed, gentle):
        self.shards, self.seed = shards, seed
        self.server = Server(shards[0], keeps_sessions=True)
        self.gentle = gentle
        self.sources = [Source("careful"), Source("default")]
        self.receivers = [Receiver(name) for name in ["careful", "default", "r1", "r2"]]

    def __enter__(self):
        with ExitStack() as stack:
            stack.enter_context(self.server)
            self.proxy = stack.enter_context(FaultProxy(self.server.port, self.gentle))
            self.hub = self.server.new_hub()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error):
        return self._stack.__exit__(*error)

    def url(self, name):
        return self.server.client_url(
            self.hub, user=name, roles=EVERY_ROLE, endpoint=self.proxy.endpoint
        )

    def disturb(self):
        """Breaks connections for as long as the run lasts, and restarts the server on the way."""
        self.proxy.disturb(self.seed, **GAPS)
        time.sleep(RUN_SECONDS / 2)
        self.server.restart(self.shards[1])
        time.sleep(RUN_SECONDS / 2)

    def settle(self):
        """Waits until all who listen have the last message of every source."""
        self.proxy.calm()
        wanted = {source.name: source.sent for source in self.sources}
        deadline = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < deadline and any(
            {name: numbers[-1] for name, numbers in receiver.numbers().items()} != wanted
            for receiver in self.receivers[2:]
        ):
            time.sleep(0.01)

    def check(self):
        findings = [
            line
            for receiver in self.receivers
            for line in receiver.findings(self.sources if receiver.name in ("r1", "r2") else [])
        ]
        look = self.proxy.look()
        about = f"seed {self.seed} (FAULT_SEED={FIRST_SEED}), {look}"
        sent = {source.name: source.sent for source in self.sources}
        repeats = sum(n - 1 for source in self.sources for n in source.attempts.values())
        print(f"{about}: {sent}, {repeats} sent again under a new id")
        assert not findings, "\n".join([about, *findings])
        assert look["accepted"] > len(self.receivers), about


def again(error):
    """Whether to try again. A refusal is passed on."""
    if isinstance(error, SendMessageError) and error.error_detail:
        return error.error_detail.name in ("", "NoAckMessageReceivedFromServer")
    return True


def test_the_blocking_client_loses_nothing():
    with Run((4, 1), FIRST_SEED, gentle=False) as run, ExitStack() as stack:
        clients = {}
        for receiver in run.receivers:
            options = ONE_ATTEMPT if receiver.name == "careful" else {}
            client = WebPubSubClient(run.url(receiver.name), **SHORT, **options)
            client.subscribe(CallbackType.CONNECTED, receiver.connected.put)
            client.subscribe(CallbackType.DISCONNECTED, receiver.disconnected.put)
            client.subscribe(CallbackType.GROUP_MESSAGE, receiver.take)
            stack.enter_context(client)
            clients[receiver.name] = client
        for name in ("r1", "r2"):
            clients[name].join_group("g")
        stop = threading.Event()

        def publish(source, client):
            while not stop.is_set():
                content, before = source.content(), client._ack_id
                options = {"ack_id": source.sent + 1} if source.name == "careful" else {}
                while True:
                    try:
                        client.send_to_group("g", *content, **options)
                        break
                    except Exception as error:
                        if not again(error):
                            raise
                        time.sleep(PAUSE_SECONDS)
                source.succeeded(client._ack_id - before)
                time.sleep(PAUSE_SECONDS)

        with ThreadPoolExecutor() as pool:
            publishing = [
                pool.submit(publish, source, clients[source.name]) for source in run.sources
            ]
            try:
                run.disturb()
            finally:
                stop.set()
            for publisher in publishing:
                publisher.result()
        run.settle()
        run.check()


def test_the_asyncio_client_loses_nothing():
    async def converse(run, stack):
        clients = {}
        for receiver in run.receivers:
            options = ONE_ATTEMPT if receiver.name == "careful" else {}
            client = AsyncClient(run.url(receiver.name), **options)
            for event, take in [
                (CallbackType.CONNECTED, receiver.connected.put),
                (CallbackType.DISCONNECTED, receiver.disconnected.put),
                (CallbackType.GROUP_MESSAGE, receiver.take),
            ]:
                await client.subscribe(event, awaitable(take))
            clients[receiver.name] = await stack.enter_async_context(client)
        for name in ("r1", "r2"):
            await clients[name].join_group("g")
        stop = asyncio.Event()

        async def publish(source, client):
            while not stop.is_set():
                content, before = source.content(), client._ack_id
                options = {"ack_id": source.sent + 1} if source.name == "careful" else {}
                while True:
                    try:
                        await client.send_to_group("g", *content, **options)
                        break
                    except Exception as error:
                        if not again(error):
                            raise
                        await asyncio.sleep(PAUSE_SECONDS)
                source.succeeded(client._ack_id - before)
                await asyncio.sleep(PAUSE_SECONDS)

        async with asyncio.TaskGroup() as publishers:
            for source in run.sources:
                publishers.create_task(publish(source, clients[source.name]))
            await asyncio.to_thread(run.disturb)
            stop.set()
        await asyncio.to_thread(run.settle)
        run.check()

    async def main():
        async with AsyncExitStack() as stack:
            await converse(run, stack)

    # This client takes a reset for a refusal: it would not even try to recover.
    with Run((1, 4), FIRST_SEED + 1, gentle=True) as run:
        asyncio.run(main())


def awaitable(take):
    async def taking(message):
        take(message)

    return taking


@pytest.mark.parametrize("shards", [1, 4])
def test_what_lives_for_a_second_is_not_kept_longer_for_who_is_away(shards):
    with ExitStack() as stack:
        server = stack.enter_context(Server(shards))
        proxy = stack.enter_context(FaultProxy(server.port))
        hub = server.new_hub()
        service = WebPubSubServiceClient.from_connection_string(
            server.connection_string(), hub=hub, retry_total=0
        )
        url = server.client_url(hub, user="ann", endpoint=proxy.endpoint)
        client = WebPubSubClient(url, **SHORT)
        connected, messages = queue.Queue(), queue.Queue()
        client.subscribe(CallbackType.CONNECTED, connected.put)
        client.subscribe(CallbackType.SERVER_MESSAGE, messages.put)
        stack.enter_context(client)
        connected.get(timeout=SECONDS)

        def send(text, seconds):
            # The package knows no such option, and passes on what it does not know.
            params = {"messageTtlSeconds": seconds}
            service.send_to_user("ann", text, content_type="text/plain", params=params)

        proxy.refuse()
        send("short", 1)
        send("long", 300)
        send("for ever", 0)
        over = time.monotonic() + 1.5
        while time.monotonic() < over:
            time.sleep(0.01)
        proxy.accept()
        arrived = [messages.get(timeout=SECONDS) for _ in range(2)]
        arrived.sort(key=lambda message: message.sequence_id)
        assert [message.data for message in arrived] == ["long", "for ever"]
        assert connected.empty()
