// `@azure/web-pubsub`: every method, over http and https, with clients of both kinds watching.

import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import { AzureKeyCredential, WebPubSubServiceClient, odata } from "@azure/web-pubsub";
import { overEveryAccess } from "../support/server.mjs";
import { EVERY_ROLE, JSON_PROTOCOL, eventually, openSocket, startClient } from "../support/clients.mjs";
import { METHODS, serviceFor } from "../support/service.mjs";

const TEXT = { contentType: "text/plain" };

overEveryAccess("@azure/web-pubsub", (server) => {
  const called = new Set();

  /** A service client for a fresh hub, and a way to start clients there. */
  const fresh = () => {
    const hub = server.newHub();
    const service = serviceFor(server, hub, { called });
    const start = async (userId, groups, roles = EVERY_ROLE) => {
      const { url } = await service.getClientAccessToken({ userId, groups, roles });
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
    // It is told nothing when it is there; the answer shows it.
    simple.socket.send("here");
    assert.equal(await simple.next(), "here");
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

  test("both keys work side by side, another one does not", async () => {
    const { hub, start } = fresh();
    const ann = await start("ann");
    const keys = [server.primaryKey, server.secondaryKey];
    const other = serviceFor(server, hub, { key: keys.find((key) => key !== server.key) });
    await other.sendToUser("ann", "signed with the other key", TEXT);
    assert.equal((await ann.server.next()).data, "signed with the other key");
    const { url } = await other.getClientAccessToken({ userId: "bob" });
    const bob = await startClient(url);
    const wrong = serviceFor(server, hub, { key: "w".repeat(44) });
    await assert.rejects(wrong.sendToAll("x", TEXT), (error) => error.statusCode === 401);
    await assert.rejects(wrong.userExists("ann"), (error) => error.statusCode === 401);
    ann.client.stop();
    bob.client.stop();
  });

  test("a filter chooses who receives", async () => {
    const { service, start } = fresh();
    const ann = await start("ann", ["g"]);
    const bob = await start("bob", ["g", "h"]);
    const nobody = await start(undefined, ["g"]);
    const group = service.group("g");
    await service.sendToAll("to ann", { ...TEXT, filter: odata`userId eq ${"ann"}` });
    await service.sendToAll("to h", { ...TEXT, filter: "'h' in groups" });
    await group.sendToAll("to anonymous", { ...TEXT, filter: odata`userId eq ${null}` });
    await group.sendToAll("to one", {
      ...TEXT,
      filter: odata`connectionId ne ${ann.connectionId} and not(userId eq null)`,
    });
    await service.sendToUser("bob", "unseen", { ...TEXT, filter: "not ('h' in groups)" });
    await service.sendToUser("bob", "seen", { ...TEXT, filter: "length(groups) eq 2" });
    await service.sendToAll("last", TEXT);
    const received = async (arrivals, count) => {
      const data = [];
      while (data.length < count) {
        data.push((await arrivals.next()).data);
      }
      assert.equal(arrivals.count, 0);
      return data;
    };
    assert.deepEqual(await received(ann.server, 2), ["to ann", "last"]);
    assert.deepEqual(await received(bob.server, 3), ["to h", "seen", "last"]);
    assert.deepEqual(await received(nobody.server, 1), ["last"]);
    assert.deepEqual(await received(bob.group, 1), ["to one"]);
    assert.deepEqual(await received(nobody.group, 1), ["to anonymous"]);
    assert.equal(ann.group.count, 0);
    await assert.rejects(service.sendToAll("x", { ...TEXT, filter: "invalid filter" }), (error) => {
      const message = "Syntax error at position 14 in 'invalid filter'. (Parameter 'filter')";
      assert.ok(error.message.includes(message), error.message);
      return failsWith(400, "Error.BadRequest")(error);
    });
    for (const { client } of [ann, bob, nobody]) {
      client.stop();
    }
  });

  test("messages may say how long they are worth sending", async () => {
    const { service, start } = fresh();
    const ann = await start("ann", ["g"]);
    const messageTtlSeconds = 300;
    await service.sendToAll("all", { ...TEXT, messageTtlSeconds });
    await service.sendToUser("ann", "user", { ...TEXT, messageTtlSeconds });
    await service.sendToConnection(ann.connectionId, "connection", { ...TEXT, messageTtlSeconds });
    await service.group("g").sendToAll("group", { ...TEXT, messageTtlSeconds });
    for (const data of ["all", "user", "connection"]) {
      assert.equal((await ann.server.next()).data, data);
    }
    assert.equal((await ann.group.next()).data, "group");
    await assert.rejects(
      service.sendToAll("x", { ...TEXT, messageTtlSeconds: 301 }),
      failsWith(400, "Error.BadRequest"),
    );
    ann.client.stop();
  });

  test("every kind of body to every kind of target", async () => {
    const { service, start } = fresh();
    const { client, connectionId, server: arrived, group } = await start("ann", ["g"]);
    const targets = [
      [(...message) => service.sendToAll(...message), arrived],
      [(...message) => service.sendToUser("ann", ...message), arrived],
      [(...message) => service.sendToConnection(connectionId, ...message), arrived],
      [(...message) => service.group("g").sendToAll(...message), group],
    ];
    const bytes = new Uint8Array([0, 200, 255]);
    for (const [send, arrivals] of targets) {
      const exchange = async (dataType, expected, ...message) => {
        await send(...message);
        const received = await arrivals.next();
        assert.equal(received.dataType, dataType);
        assert.deepEqual(received.data, expected);
      };
      await exchange("text", "tëxt", "tëxt", TEXT);
      await exchange("json", "a string", "a string");
      await exchange("json", { a: [1, "ü"] }, { a: [1, "ü"] });
      await exchange("json", 7, 7);
      await exchange("binary", bytes.buffer, bytes);
      await exchange("binary", bytes.buffer, bytes.buffer);
      // A stream has no length, so the body is chunked.
      await exchange("binary", bytes.buffer, () => Readable.from([Buffer.from([0]), Buffer.from([200, 255])]));
    }
    client.stop();
  });

  test("permissions are granted, checked and revoked while the client watches", async () => {
    const { service, start } = fresh();
    const { client, connectionId, group } = await start("ann", [], []);
    const forbidden = (error) => error.errorDetail?.name === "Forbidden";
    const g = { targetName: "g" };
    const allowed = async (permission, expected, options) =>
      assert.equal(await service.hasPermission(connectionId, permission, options), expected);

    await assert.rejects(client.joinGroup("g"), forbidden);
    await allowed("joinLeaveGroup", false, g);
    await service.grantPermission(connectionId, "joinLeaveGroup", g);
    await service.grantPermission(connectionId, "joinLeaveGroup", g);
    await allowed("joinLeaveGroup", true, g);
    await allowed("joinLeaveGroup", false, { targetName: "G" });
    await allowed("sendToGroup", false, g);
    await client.joinGroup("g");
    await assert.rejects(client.joinGroup("h"), forbidden);

    await assert.rejects(client.sendToGroup("g", "x", "text"), forbidden);
    await service.grantPermission(connectionId, "sendToGroup", g);
    await client.sendToGroup("g", "granted", "text");
    assert.equal((await group.next()).data, "granted");
    await service.revokePermission(connectionId, "sendToGroup", g);
    await allowed("sendToGroup", false, g);
    await assert.rejects(client.sendToGroup("g", "x", "text"), forbidden);

    await service.grantPermission(connectionId, "sendToGroup");
    await allowed("sendToGroup", true);
    await allowed("sendToGroup", true, { targetName: "whichever" });
    await client.sendToGroup("g", "granted for all groups", "text");
    assert.equal((await group.next()).data, "granted for all groups");
    await service.revokePermission(connectionId, "sendToGroup");
    await allowed("sendToGroup", false);
    await assert.rejects(client.sendToGroup("g", "x", "text"), forbidden);
    client.stop();
  });

  test("permissions of what is not there", async () => {
    const { service } = fresh();
    const g = { targetName: "g" };
    await assert.rejects(
      service.grantPermission("nothing", "sendToGroup", g),
      failsWith(404, "Info.Connection.NotExisted"),
    );
    assert.equal(await service.hasPermission("nothing", "sendToGroup", g), false);
    await service.revokePermission("nothing", "sendToGroup", g);
  });

  test("a permission for one group is revoked from a client that has it for all", async () => {
    const { service, start } = fresh();
    const { client, connectionId } = await start("ann");
    const check = (targetName) =>
      service.hasPermission(connectionId, "sendToGroup", { targetName });
    assert.equal(await check("g"), true);
    await service.revokePermission(connectionId, "sendToGroup", { targetName: "g" });
    assert.equal(await check("g"), false);
    assert.equal(await check("h"), true);
    await client.sendToGroup("h", "x", "text");
    await assert.rejects(
      client.sendToGroup("g", "x", "text"),
      (error) => error.errorDetail.name === "Forbidden",
    );
    client.stop();
  });

  test("connections that a filter chooses join and leave many groups", async () => {
    const { service, start } = fresh();
    const ann = await start("ann");
    const bob = await start("bob");
    const groups = ["a", "b", "b", "ü/?"];
    await service.addConnectionsToGroups(groups, odata`userId eq ${"ann"}`);
    for (const name of groups) {
      await service.group(name).sendToAll(name, TEXT);
      assert.equal((await ann.group.next()).data, name);
    }
    await service.addConnectionsToGroups(["c"], "");
    await service.group("c").sendToAll("both", TEXT);
    assert.equal((await ann.group.next()).data, "both");
    assert.equal((await bob.group.next()).data, "both");
    await service.removeConnectionsFromGroups(["a", "c"], "userId eq 'ann'");
    assert.equal(await service.groupExists("a"), false);
    await service.group("c").sendToAll("bob alone", TEXT);
    assert.equal((await bob.group.next()).data, "bob alone");
    await service.removeConnectionsFromGroups(["b", "c", "ü/?"], "");
    for (const name of ["b", "c", "ü/?"]) {
      assert.equal(await service.groupExists(name), false);
    }
    await assert.rejects(
      service.addConnectionsToGroups(["d", ""], ""),
      failsWith(400, "Error.BadRequest"),
    );
    await assert.rejects(
      service.addConnectionsToGroups(["d"], "nonsense eq 1"),
      failsWith(400, "Error.BadRequest"),
    );
    assert.equal(await service.groupExists("d"), false);
    assert.equal(ann.group.count, 0);
    ann.client.stop();
    bob.client.stop();
  });

  test("tokens name their lifetime and the kind of client", async () => {
    const { hub, service } = fresh();
    const claims = (token) => JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
    const { token } = await service.getClientAccessToken({ expirationTimeInMinutes: 5 });
    const { iat, exp } = claims(token);
    assert.equal(exp - iat, 300);
    const base = server.endpoint.replace("http", "ws");
    for (const [clientProtocol, path] of [
      [undefined, "client/hubs"],
      ["default", "client/hubs"],
      ["mqtt", "clients/mqtt/hubs"],
      ["socketio", "clients/socketio/hubs"],
    ]) {
      const { baseUrl } = await service.getClientAccessToken({ clientProtocol });
      assert.equal(baseUrl, `${base}/${path}/${hub}`);
    }
  });

  // Without the access key, the library asks the server for tokens. It refuses to do so over http.
  if (server.scheme === "https") {
    test("the server makes client tokens for a caller that has no key", async () => {
      const hub = server.newHub();
      const bearer = server.token(`${server.endpoint}/api/hubs/${hub}/:generateToken`);
      const credential = {
        getToken: async () => ({ token: bearer, expiresOnTimestamp: Date.now() + 60_000 }),
      };
      const service = new WebPubSubServiceClient(server.endpoint, credential, hub);
      const { url } = await service.getClientAccessToken({
        userId: "änn/1",
        roles: ["webpubsub.sendToGroup.g"],
        groups: ["g", "a b"],
        expirationTimeInMinutes: 10,
      });
      const { client, userId, group } = await startClient(url);
      assert.equal(userId, "änn/1");
      await client.sendToGroup("g", "with a token of the server's", "text");
      assert.equal((await group.next()).data, "with a token of the server's");
      client.stop();
      const bare = await openSocket((await service.getClientAccessToken()).url, JSON_PROTOCOL);
      assert.ok(!("userId" in (await bare.nextJson())));
      bare.close();
      for (const clientProtocol of ["default", "mqtt", "socketio"]) {
        const { token } = await service.getClientAccessToken({ clientProtocol });
        assert.equal(token.split(".").length, 3);
      }
    });
  }

  test("an endpoint and a key do what a connection string does", async () => {
    const hub = server.newHub();
    const credential = new AzureKeyCredential(server.key);
    const service = new WebPubSubServiceClient(`${server.endpoint}/`, credential, hub, {
      allowInsecureConnection: server.scheme === "http",
    });
    const { url } = await service.getClientAccessToken({ userId: "ann" });
    const { client } = await startClient(url);
    assert.equal(await service.userExists("ann"), true);
    client.stop();
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

  test("no method was left out", () => {
    assert.deepEqual([...called].sort(), METHODS);
  });
});
