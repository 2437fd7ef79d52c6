// `@azure/web-pubsub-client` on the plain json protocol.

import assert from "node:assert/strict";
import { test } from "node:test";
import { EVERY_ROLE, eventually, startClient } from "../support/clients.mjs";
import { overEveryAccess } from "../support/server.mjs";
import { serviceFor } from "../support/service.mjs";

const CONTENTS = [
  ["text", "hällo, wörld €"],
  ["json", { list: [1, "two", null, { three: 3.5 }], nested: { ok: true } }],
  ["binary", new Uint8Array([0, 127, 128, 255]).buffer],
];

overEveryAccess("@azure/web-pubsub-client", (server) => {
  const start = (hub, userId, options) =>
    startClient(server.clientUrl(hub, { userId, roles: EVERY_ROLE }), options);

  test("the server names the connection and the user", async () => {
    const hub = server.newHub();
    const named = await start(hub, "ann");
    const unnamed = await start(hub, undefined);
    assert.equal(named.userId, "ann");
    assert.equal(unnamed.userId, undefined);
    assert.match(named.connectionId, /^[A-Za-z0-9_-]+$/);
    assert.notEqual(named.connectionId, unnamed.connectionId);
    named.client.stop();
    unnamed.client.stop();
  });

  test("members receive every data type, in the publisher's order", async () => {
    const hub = server.newHub();
    const [publisher, ...members] = await Promise.all(
      ["paul", "m1", "m2", "m3", "m4"].map((user) => start(hub, user)),
    );
    await Promise.all(members.map((member) => member.client.joinGroup("g")));
    for (const [dataType, data] of CONTENTS) {
      await publisher.client.sendToGroup("g", data, dataType);
    }
    for (let n = 0; n < 100; n += 1) {
      await publisher.client.sendToGroup("g", n, "json", { fireAndForget: true });
    }
    for (const member of members) {
      for (const [dataType, data] of CONTENTS) {
        const message = await member.group.next();
        assert.equal(message.group, "g");
        assert.equal(message.fromUserId, "paul");
        assert.equal(message.dataType, dataType);
        assert.deepEqual(message.data, data);
      }
      for (let n = 0; n < 100; n += 1) {
        assert.equal((await member.group.next()).data, n);
      }
    }
    for (const { client } of [publisher, ...members]) {
      client.stop();
    }
  });

  test("noEcho leaves out the sender's connection alone", async () => {
    const hub = server.newHub();
    const sender = await start(hub, "ann");
    const sameUser = await start(hub, "ann");
    await sender.client.joinGroup("g");
    await sameUser.client.joinGroup("g");
    await sender.client.sendToGroup("g", "silent", "text", { noEcho: true });
    await sender.client.sendToGroup("g", "loud", "text");
    assert.equal((await sender.group.next()).data, "loud");
    assert.equal((await sameUser.group.next()).data, "silent");
    assert.equal((await sameUser.group.next()).data, "loud");
    sender.client.stop();
    sameUser.client.stop();
  });

  test("an ack id counts once", async () => {
    const hub = server.newHub();
    const { client, group } = await start(hub, "ann");
    assert.equal((await client.joinGroup("g", { ackId: 0 })).isDuplicated, false);
    const send = (text, ackId) => client.sendToGroup("g", text, "text", { ackId });
    assert.equal((await send("once", 7)).isDuplicated, false);
    assert.equal((await send("twice", 7)).isDuplicated, true);
    assert.equal((await send("after", 8)).isDuplicated, false);
    assert.equal((await group.next()).data, "once");
    assert.equal((await group.next()).data, "after");
    client.stop();
  });

  test("a refused request does not use up its ack id", async () => {
    const hub = server.newHub();
    const { client } = await startClient(
      server.clientUrl(hub, { roles: ["webpubsub.joinLeaveGroup.mine"] }),
    );
    const forbidden = (error) => error.errorDetail?.name === "Forbidden" && error.ackId === 3;
    await assert.rejects(client.joinGroup("theirs", { ackId: 3 }), forbidden);
    await assert.rejects(client.sendToGroup("mine", "x", "text", { ackId: 3 }), forbidden);
    assert.equal((await client.joinGroup("mine", { ackId: 3 })).isDuplicated, false);
    client.stop();
  });

  test("the handler's answer arrives before the ack", async () => {
    const { client, server: fromServer } = await start(server.newHub(), "ann");
    for (const [dataType, data] of CONTENTS) {
      await client.sendEvent("greet", data, dataType);
      assert.equal(fromServer.count, 1, "the ack overtook the answer");
      const message = await fromServer.next();
      assert.equal(message.dataType, dataType);
      assert.deepEqual(message.data, data);
    }
    client.stop();
  });

  test("who left receives nothing more", async () => {
    const hub = server.newHub();
    const member = await start(hub, "mia");
    const publisher = await start(hub, "paul");
    await member.client.joinGroup("left");
    await member.client.joinGroup("kept");
    await member.client.leaveGroup("left");
    await publisher.client.sendToGroup("left", "unseen", "text");
    await publisher.client.sendToGroup("kept", "seen", "text");
    assert.equal((await member.group.next()).data, "seen");
    member.client.stop();
    publisher.client.stop();
  });

  test("a group that a stopped client was in goes away with it", async () => {
    const hub = server.newHub();
    const service = serviceFor(server, hub);
    const { client, connectionId, disconnected, stopped } = await start(hub, "ann");
    await client.joinGroup("g");
    assert.equal(await service.connectionExists(connectionId), true);
    assert.equal(await service.groupExists("g"), true);
    client.stop();
    assert.equal((await disconnected.next()).connectionId, connectionId);
    await stopped.next();
    await eventually("the connection", false, () => service.connectionExists(connectionId));
    await eventually("the group", false, () => service.groupExists("g"));
  });

  test("a client that was sent away connects again and rejoins", async () => {
    const hub = server.newHub();
    const service = serviceFor(server, hub);
    const { client, connectionId, connected, disconnected, group } = await start(hub, "ann", {
      autoReconnect: true,
      autoRejoinGroups: true,
      reconnectRetryOptions: { retryDelayInMs: 10 },
    });
    await client.joinGroup("g");
    await service.closeConnection(connectionId, { reason: "maintenance" });
    const farewell = await disconnected.next();
    assert.equal(farewell.connectionId, connectionId);
    assert.match(farewell.message.message, /^Application server closed the connection\..*maintenance/);
    assert.notEqual((await connected.next()).connectionId, connectionId);
    await eventually("the group", true, () => service.groupExists("g"));
    await service.group("g").sendToAll("welcome back", { contentType: "text/plain" });
    assert.equal((await group.next()).data, "welcome back");
    client.stop();
  });
});
