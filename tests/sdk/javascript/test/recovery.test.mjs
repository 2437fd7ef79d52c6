// `@azure/web-pubsub-client` with its defaults: what becomes of a connection whose socket is lost.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FaultProxy } from "../../fault-proxy/proxy.mjs";
import { Arrivals, EVERY_ROLE, eventually, startReliableClient } from "../support/clients.mjs";
import { againstEveryShardCount } from "../support/server.mjs";
import { serviceFor } from "../support/service.mjs";

const TEXT = { contentType: "text/plain" };
const QUEUED_AT_MOST = 1000;
const AT_ONCE = { concurrency: 4 };

againstEveryShardCount("a reliable @azure/web-pubsub-client", (server) => {
  const withClient = (use, options) => withClientOf(server, use, options);

  for (const fault of ["reset", "finish", "tearDown", "tearUp", "halfOpen", "frozen"]) {
    test(`after ${fault} it is the same connection and nothing is lost`, () =>
      withClient(async ({ client, connected, disconnected, messages, proxy, service }) => {
        const sent = [];
        for (let n = 1; n <= 20; n += 1) {
          if (n % 5 === 0) {
            await eventually("a connection", true, () => proxy.connected);
            proxy.inflict(fault);
          }
          sent.push(`message ${n}`);
          await service.group("g").sendToAll(`message ${n}`, TEXT);
        }
        // What tears waits for something to be sent.
        await client.sendToGroup("g", "the last", "text");
        sent.push("the last");
        assert.deepEqual(await texts(messages, sent.length), sent);
        assert.equal(connected.count + disconnected.count, 0);
        assert.ok(proxy.accepted > 1);
      }),
    );
  }

  test("what was sent while it was away arrives when it is back", () =>
    withClient(async ({ client, connectionId, messages, proxy, service, hub }) => {
      const other = await startReliableClient(server.clientUrl(hub, { roles: EVERY_ROLE }));
      await service.sendToConnection(connectionId, "before", TEXT);
      const before = await messages.next();
      proxy.refuse();
      await service.sendToUser("ann", "to the user", TEXT);
      await service.group("g").sendToAll("to the group", TEXT);
      await service.sendToConnection(connectionId, { to: ["the connection"] });
      await service.sendToAll(new Uint8Array([1, 2, 3]).buffer);
      await other.client.sendToGroup("g", "from a client", "text");
      await service.group("later").addConnection(connectionId);
      await service.group("later").sendToAll("to a later group", TEXT);
      assert.equal(await service.connectionExists(connectionId), true);
      assert.equal(messages.count, 0);
      proxy.accept();
      const arrived = [];
      for (let n = 0; n < 6; n += 1) {
        arrived.push(await messages.next());
      }
      assert.deepEqual(
        arrived.map(({ group, data, sequenceId }) => [sequenceId - before.sequenceId, group, data]),
        [
          [1, undefined, "to the user"],
          [2, "g", "to the group"],
          [3, undefined, { to: ["the connection"] }],
          [4, undefined, new Uint8Array([1, 2, 3]).buffer],
          [5, "g", "from a client"],
          [6, "later", "to a later group"],
        ],
      );
      // Who is back is served as before.
      await client.sendToGroup("g", "back", "text");
      assert.equal((await messages.next()).data, "back");
      other.client.stop();
    }));

  test("what lives for a second is not kept longer for who is away", () =>
    withClient(async ({ messages, proxy, service }) => {
      const send = (text, messageTtlSeconds) =>
        service.sendToUser("ann", text, { ...TEXT, messageTtlSeconds });
      await send("at once", 1);
      assert.equal((await messages.next()).data, "at once");
      proxy.refuse();
      await send("short", 1);
      await send("long", 300);
      await send("short too", 1);
      await send("for ever", 0);
      const over = Date.now() + 1500;
      await eventually("the end of its life", true, () => Date.now() > over);
      proxy.accept();
      assert.deepEqual(await texts(messages, 2), ["long", "for ever"]);
      await send("the last", 0);
      assert.equal((await messages.next()).data, "the last");
    }));

  test("an ack id counts once, also after the socket was lost", () =>
    withClient(async ({ client, messages, proxy }) => {
      const send = (text, ackId) => client.sendToGroup("g", text, "text", { ackId });
      assert.equal((await send("once", 7000)).isDuplicated, false);
      for (const fault of ["reset", "halfOpen"]) {
        proxy.inflict(fault);
        assert.equal((await send("twice", 7000)).isDuplicated, true);
      }
      assert.equal((await send("after", 7001)).isDuplicated, false);
      assert.deepEqual(await texts(messages, 2), ["once", "after"]);
    }));

  for (const away of [false, true]) {
    test(`closed by the application server while ${away ? "away" : "here"}, it stops once`, () =>
      withClient(
        async ({ connectionId, connected, disconnected, stopped, proxy, service }) => {
          if (away) {
            proxy.refuse();
          }
          await service.closeConnection(connectionId, { reason: "enough" });
          assert.equal(await service.connectionExists(connectionId), false);
          proxy.accept();
          const farewell = await disconnected.next();
          assert.equal(farewell.connectionId, connectionId);
          if (!away) {
            assert.match(farewell.message.message, /enough/);
          }
          await stopped.next();
          assert.equal(connected.count + disconnected.count + stopped.count, 0);
        },
        { autoReconnect: false },
      ));
  }

  test("stop ends it", () =>
    withClient(async ({ client, connectionId, disconnected, stopped, proxy }) => {
      const accepted = proxy.accepted;
      client.stop();
      assert.equal((await disconnected.next()).connectionId, connectionId);
      await stopped.next();
      assert.equal(proxy.accepted, accepted);
    }));

  /** Sends numbers to the group, the last one being `last`. */
  async function flood(hub, first, last) {
    const { client } = await startReliableClient(server.clientUrl(hub, { roles: EVERY_ROLE }));
    for (let n = first; n < last; n += 1) {
      await client.sendToGroup("g", n, "json", { fireAndForget: true });
    }
    await client.sendToGroup("g", last, "json");
    client.stop();
  }

  test("as much as is kept arrives, in spite of cuts on the way", () =>
    withClient(async ({ messages, proxy, service, hub }) => {
      const large = "0123456789abcdef".repeat(60_000);
      proxy.refuse();
      for (let n = 0; n < 15; n += 1) {
        await service.sendToUser("ann", `${n} ${large}`, TEXT);
      }
      await flood(hub, 15, QUEUED_AT_MOST - 1);
      proxy.accept();
      for (let n = 0; n < QUEUED_AT_MOST; n += 1) {
        if (n < 15 && n % 5 === 1) {
          proxy.inflict("tearDown");
        }
        const { data } = await messages.next();
        assert.equal(data, n < 15 ? `${n} ${large}` : n);
      }
    }));

  test("more than is kept ends the session", () =>
    withClient(async ({ connectionId, connected, disconnected, messages, proxy, service, hub }) => {
      proxy.refuse();
      await flood(hub, 0, QUEUED_AT_MOST);
      await eventually("the session", false, () => service.connectionExists(connectionId));
      proxy.accept();
      assert.equal((await disconnected.next()).connectionId, connectionId);
      assert.notEqual((await connected.next()).connectionId, connectionId);
      await service.group("g").sendToAll("welcome back", TEXT);
      assert.equal((await messages.next()).data, "welcome back");
    }));
}, AT_ONCE);

againstEveryShardCount(
  "a reliable @azure/web-pubsub-client that has little time to come back",
  (server) => {
    test("who comes too late gets a new connection and joins the groups again", () =>
      withClientOf(server, async ({ connectionId, connected, disconnected, ...others }) => {
        const { messages, proxy, service } = others;
        proxy.refuse();
        await service.sendToUser("ann", "for nobody", TEXT);
        await eventually("the session", false, () => service.connectionExists(connectionId));
        assert.equal(await service.groupExists("g"), false);
        proxy.accept();
        assert.equal((await disconnected.next()).connectionId, connectionId);
        assert.notEqual((await connected.next()).connectionId, connectionId);
        await service.group("g").sendToAll("welcome back", TEXT);
        assert.equal((await messages.next()).data, "welcome back");
      }));
  },
  { configuration: `[limits]\nrecovery_seconds = 1\n` },
);

/** A client in the group `g` behind a proxy of its own; `messages` has all that came for it. */
async function withClientOf(server, use, options) {
  const hub = server.newHub();
  const proxy = await new FaultProxy(server.port).start();
  const url = server.clientUrl(hub, { userId: "ann", roles: EVERY_ROLE, endpoint: proxy.endpoint });
  const started = await startReliableClient(url, options);
  const messages = new Arrivals();
  started.client.on("group-message", ({ message }) => messages.push(message));
  started.client.on("server-message", ({ message }) => messages.push(message));
  await started.client.joinGroup("g");
  try {
    await use({ ...started, messages, hub, proxy, service: serviceFor(server, hub) });
  } finally {
    started.client.stop();
    await proxy.stop();
  }
}

async function texts(messages, count) {
  const arrived = [];
  for (let n = 0; n < count; n += 1) {
    arrived.push((await messages.next()).data);
  }
  return arrived;
}
