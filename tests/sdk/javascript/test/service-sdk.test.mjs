// `@azure/web-pubsub`: the REST half, with clients of both kinds watching.

import assert from "node:assert/strict";
import { test } from "node:test";
import { WebPubSubServiceClient } from "@azure/web-pubsub";
import { againstEveryShardCount } from "../support/server.mjs";
import { EVERY_ROLE, JSON_PROTOCOL, eventually, openSocket, startClient } from "../support/clients.mjs";

const TEXT = { contentType: "text/plain" };

againstEveryShardCount("@azure/web-pubsub", (server) => {
  const serviceFor = (hub, key) =>
    new WebPubSubServiceClient(server.connectionString(key), hub, {
      allowInsecureConnection: true,
      retryOptions: { maxRetries: 0 },
    });

  /** A service client for a fresh hub, and a way to start clients there. */
  const fresh = () => {
    const hub = server.newHub();
    const service = serviceFor(hub);
    const start = async (userId, groups) => {
      const { url } = await service.getClientAccessToken({ userId, groups, roles: EVERY_ROLE });
      return startClient(url);
    };
    return { hub, service, start };
  };

  /** Fails with this status and this code, as the SDK shows them. */
  const failsWith = (statusCode, code) => (error) => {
    assert.equal(error.statusCode, statusCode);
    assert.equal(error.code, code);
    return true;
  };

  test("a client token carries user, groups and roles", async () => {
    const { service } = fresh();
    const { url, baseUrl } = await service.getClientAccessToken({
      userId: "ann",
      groups: ["g"],
      roles: ["webpubsub.sendToGroup.g"],
    });
    assert.ok(url.startsWith(`${baseUrl}?access_token=`));
    const { client, userId, group } = await startClient(url);
    assert.equal(userId, "ann");
    await client.sendToGroup("g", "in from the start", "text");
    assert.equal((await group.next()).data, "in from the start");
    await assert.rejects(client.leaveGroup("g"), (error) => error.errorDetail.name === "Forbidden");
    client.stop();
  });

  test("send to all: every data type to every kind of client, less the excluded", async () => {
    const { service, start } = fresh();
    const wanted = await start("ann");
    const excluded = await start("bob");
    const { url } = await service.getClientAccessToken();
    const simple = await openSocket(url);
    const excludedConnections = [excluded.connectionId, "nobody"];
    await service.sendToAll("tëxt", { ...TEXT, excludedConnections });
    await service.sendToAll({ json: [1, null] }, { excludedConnections });
    await service.sendToAll(new Uint8Array([0, 255]), { excludedConnections });
    await service.sendToAll("for all", TEXT);
    const received = async () => {
      const { from, dataType, data } = await wanted.server.next();
      assert.equal(from, "server");
      return [dataType, data];
    };
    assert.deepEqual(await received(), ["text", "tëxt"]);
    assert.deepEqual(await received(), ["json", { json: [1, null] }]);
    assert.deepEqual(await received(), ["binary", new Uint8Array([0, 255]).buffer]);
    assert.deepEqual(await received(), ["text", "for all"]);
    assert.equal((await excluded.server.next()).data, "for all");
    assert.equal(await simple.next(), "tëxt");
    assert.equal(await simple.next(), '{"json":[1,null]}');
    assert.deepEqual(await simple.next(), Buffer.from([0, 255]));
    assert.equal(await simple.next(), "for all");
    wanted.client.stop();
    excluded.client.stop();
    simple.close();
  });

  test("send to a group, a user, a connection", async () => {
    const { service, start } = fresh();
    const ann = await start("ann", ["g"]);
    const annToo = await start("ann");
    const bob = await start("bob", ["g"]);
    const group = service.group("g");
    await group.sendToAll("members but bob", { ...TEXT, excludedConnections: [bob.connectionId] });
    await group.sendToAll("members", TEXT);
    const inGroup = await ann.group.next();
    assert.equal(inGroup.data, "members but bob");
    assert.equal(inGroup.group, "g");
    assert.equal(inGroup.fromUserId, undefined);
    assert.equal((await ann.group.next()).data, "members");
    assert.equal((await bob.group.next()).data, "members");
    await service.sendToUser("ann", "to ann", TEXT);
    await service.sendToConnection(bob.connectionId, "to bob", TEXT);
    assert.equal((await ann.server.next()).data, "to ann");
    assert.equal((await annToo.server.next()).data, "to ann");
    assert.equal((await bob.server.next()).data, "to bob");
    for (const { client } of [ann, annToo, bob]) {
      client.stop();
    }
  });

  test("sending to what is not there is accepted", async () => {
    const { service } = fresh();
    await service.sendToAll("x", TEXT);
    await service.group("none").sendToAll("x", TEXT);
    await service.sendToUser("nobody", "x", TEXT);
    await service.sendToConnection("nothing", "x", TEXT);
  });

  test("exists", async () => {
    const { service, start } = fresh();
    assert.equal(await service.userExists("ann"), false);
    const ann = await start("ann", ["g"]);
    assert.equal(await service.userExists("ann"), true);
    assert.equal(await service.userExists("ANN"), false);
    assert.equal(await service.groupExists("g"), true);
    assert.equal(await service.groupExists("other"), false);
    assert.equal(await service.connectionExists(ann.connectionId), true);
    assert.equal(await service.connectionExists("nothing"), false);
    ann.client.stop();
    await eventually("the user", false, () => service.userExists("ann"));
  });

  test("connections join and leave groups by REST", async () => {
    const { service, start } = fresh();
    const { client, connectionId, group: arrived } = await start("ann");
    const group = service.group("a group/with ünusual ?name");
    await group.addConnection(connectionId);
    await group.addConnection(connectionId);
    await group.sendToAll("in", TEXT);
    assert.equal((await arrived.next()).data, "in");
    await group.removeConnection(connectionId);
    assert.equal(await service.groupExists(group.groupName), false);
    await service.group("a").addConnection(connectionId);
    await service.group("b").addConnection(connectionId);
    await service.removeConnectionFromAllGroups(connectionId);
    assert.equal(await service.groupExists("a"), false);
    assert.equal(await service.groupExists("b"), false);
    client.stop();
  });

  test("users join and leave groups with all their connections", async () => {
    const { service, start } = fresh();
    const first = await start("ann");
    const second = await start("ann");
    const group = service.group("g");
    await group.addUser("ann");
    await group.sendToAll("both", TEXT);
    assert.equal((await first.group.next()).data, "both");
    assert.equal((await second.group.next()).data, "both");
    await group.removeUser("ann");
    assert.equal(await service.groupExists("g"), false);
    await group.addUser("ann");
    await service.group("h").addUser("ann");
    await service.removeUserFromAllGroups("ann");
    assert.equal(await service.groupExists("g"), false);
    assert.equal(await service.groupExists("h"), false);
    first.client.stop();
    second.client.stop();
  });

  test("membership of what is not there", async () => {
    const { service } = fresh();
    const group = service.group("g");
    await assert.rejects(
      group.addConnection("nothing"),
      failsWith(404, "Error.Connection.NotExisted"),
    );
    await assert.rejects(group.addUser("nobody"), failsWith(404, "Warning.User.NotExisted"));
    await group.removeConnection("nothing");
    await group.removeUser("nobody");
    await service.removeUserFromAllGroups("nobody");
    await service.removeConnectionFromAllGroups("nothing");
  });

  test("closing a connection tells it why", async () => {
    const { service, start } = fresh();
    const reason = `long farewell ${"x".repeat(200)}`;
    const { connectionId, disconnected } = await start("ann");
    await service.closeConnection(connectionId, { reason });
    assert.equal(
      (await disconnected.next()).message.message,
      `Application server closed the connection. Reason: ${reason}`,
    );
    const { url } = await service.getClientAccessToken();
    const raw = await openSocket(url, JSON_PROTOCOL);
    const { connectionId: rawId } = await raw.nextJson();
    await service.closeConnection(rawId);
    assert.equal(
      await raw.next(),
      '{"type":"system","event":"disconnected","message":"Application server closed the connection."}',
    );
    assert.deepEqual(await raw.closed(), { code: 1000, reason: "" });
    assert.equal(await service.connectionExists(rawId), false);
    await service.closeConnection("nothing");
  });

  test("closing a group, a user, a hub, less the excluded", async () => {
    const { service, start } = fresh();
    const ann = await start("ann", ["g"]);
    const annToo = await start("ann");
    const bob = await start("bob", ["g"]);
    const eve = await start("eve");
    await service.group("g").closeAllConnections({ excluded: [bob.connectionId] });
    await ann.disconnected.next();
    await service.closeUserConnections("ann");
    await annToo.disconnected.next();
    await service.closeAllConnections({ excluded: [eve.connectionId], reason: "closing time" });
    assert.match((await bob.disconnected.next()).message.message, /Reason: closing time$/);
    assert.equal(await service.connectionExists(eve.connectionId), true);
    await service.closeAllConnections();
    await eve.disconnected.next();
    assert.equal(await service.connectionExists(eve.connectionId), false);
  });

  test("a group's connections are listed page by page", async () => {
    const { service, start } = fresh();
    const members = await Promise.all(
      ["ann", "bob", undefined, "dan", "eve"].map((user) => start(user, ["g"])),
    );
    const expected = members
      .map(({ connectionId, userId }) => [connectionId, userId ?? null])
      .sort(([a], [b]) => (a < b ? -1 : 1));
    // Contrary to its declaration, the SDK returns a promise of the iterator.
    const listed = async (group, options) => await service.group(group).listConnections(options);
    const list = async (options) => {
      const found = [];
      for await (const member of await listed("g", options)) {
        found.push([member.connectionId, member.userId ?? null]);
      }
      return found;
    };
    assert.deepEqual(await list(), expected);
    assert.deepEqual(await list({ maxPageSize: 2 }), expected);
    assert.deepEqual(await list({ maxPageSize: 2, top: 3 }), expected.slice(0, 3));
    const sizes = [];
    for await (const page of (await listed("g", { maxPageSize: 2 })).byPage()) {
      sizes.push(page.length);
    }
    assert.deepEqual(sizes, [2, 2, 1]);
    const empty = [];
    for await (const member of await listed("empty")) {
      empty.push(member);
    }
    assert.deepEqual(empty, []);
    for (const { client } of members) {
      client.stop();
    }
  });

  test("the secondary key works, another one does not", async () => {
    const { hub, start } = fresh();
    const ann = await start("ann");
    const secondary = serviceFor(hub, server.secondaryKey);
    await secondary.sendToUser("ann", "signed with the second key", TEXT);
    assert.equal((await ann.server.next()).data, "signed with the second key");
    const { url } = await secondary.getClientAccessToken({ userId: "bob" });
    const bob = await startClient(url);
    const wrong = serviceFor(hub, "w".repeat(44));
    await assert.rejects(wrong.sendToAll("x", TEXT), (error) => error.statusCode === 401);
    await assert.rejects(wrong.userExists("ann"), (error) => error.statusCode === 401);
    ann.client.stop();
    bob.client.stop();
  });

  test("errors have a body, a header and a code", async () => {
    const { hub } = fresh();
    const ask = (path, init = {}) => {
      const url = `${server.endpoint}/api/hubs/${hub}/${path}`;
      const authorization = `Bearer ${server.token(url)}`;
      return fetch(url, { ...init, headers: { authorization, ...init.headers } });
    };
    const post = (path, type, body) =>
      ask(path, { method: "POST", headers: { "content-type": type }, body });
    const cases = [
      [await post(":send?api-version=2099-01-01", "text/plain", "x"), 400, "Error.BadRequest"],
      [await post(":send?api-version=2024-12-01", "application/json", "{"), 400, "Error.BadRequest"],
      [await post(":send?api-version=2024-12-01", "image/png", "x"), 415, null],
      [await post(":send?api-version=2024-12-01", "text/plain", "x".repeat(2 ** 20 + 1)), 413, null],
      [await ask("groups/g/connections?maxpagesize=201&api-version=2024-12-01"), 400, "Error.BadRequest"],
      [await ask("users/nobody/groups/g", { method: "PUT" }), 404, "Warning.User.NotExisted"],
    ];
    for (const [response, status, code] of cases) {
      assert.equal(response.status, status, response.url);
      const body = await response.json();
      assert.deepEqual(Object.keys(body), ["code", "message", "target", "details", "innererror"]);
      assert.equal(response.headers.get("x-ms-error-code"), body.code);
      if (code !== null) {
        assert.equal(body.code, code);
      }
    }
    const versions = (await post(":send", "text/plain", "x")).headers.get("api-supported-versions");
    assert.equal(versions, "2021-10-01, 2022-11-01, 2023-07-01, 2024-01-01, 2024-12-01");
  });

  test("health needs no token", async () => {
    const response = await fetch(`${server.endpoint}/api/health`, { method: "HEAD" });
    assert.equal(response.status, 200);
  });
});
