// Users and groups with names that a URL, a filter or a pattern could misread, through
// `@azure/web-pubsub`. The library cannot name `.` and `..`: URLs resolve them before they are sent.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { odata } from "@azure/web-pubsub";
import { overEveryAccess } from "../support/server.mjs";
import { eventually, startClient } from "../support/clients.mjs";
import { serviceFor } from "../support/service.mjs";

const TEXT = { contentType: "text/plain" };
const LISTED = JSON.parse(await readFile(new URL("../../odd-names.json", import.meta.url)));
const NAMES = [...LISTED, "x".repeat(1024), "ü/".repeat(256)];

overEveryAccess("odd names", (server) => {
  for (const name of NAMES) {
    const shown = name.length > 30 ? `${name.slice(0, 4)}… (${name.length})` : JSON.stringify(name);
    test(`a user and a group called ${shown}`, async () => {
      const service = serviceFor(server, server.newHub());
      const group = service.group(name);
      const start = async (userId, groups) =>
        startClient((await service.getClientAccessToken({ userId, groups })).url);
      const ann = await start(name, [name]);
      const bob = await start(`${name}2`);
      assert.equal(ann.userId, name);

      assert.equal(await service.userExists(name), true);
      assert.equal(await service.groupExists(name), true);
      await service.sendToUser(name, name, TEXT);
      assert.equal((await ann.server.next()).data, name);
      const filter = name.length > 30 ? undefined : odata`userId eq ${name} and ${name} in groups`;
      await service.sendToAll("filtered", { ...TEXT, filter });
      assert.equal((await ann.server.next()).data, "filtered");
      await group.sendToAll(name, TEXT);
      const message = await ann.group.next();
      assert.deepEqual([message.group, message.data], [name, name]);

      await group.addConnection(bob.connectionId);
      const listed = [];
      for await (const { connectionId } of await group.listConnections({ maxPageSize: 1 })) {
        listed.push(connectionId);
      }
      assert.deepEqual(listed, [ann.connectionId, bob.connectionId].sort());
      await group.removeConnection(bob.connectionId);

      const permission = { targetName: name };
      await service.grantPermission(bob.connectionId, "sendToGroup", permission);
      assert.equal(await service.hasPermission(bob.connectionId, "sendToGroup", permission), true);
      await bob.client.sendToGroup(name, "from bob", "text");
      assert.equal((await ann.group.next()).fromUserId, `${name}2`);
      await service.revokePermission(bob.connectionId, "sendToGroup", permission);
      assert.equal(await service.hasPermission(bob.connectionId, "sendToGroup", permission), false);

      await group.removeUser(name);
      assert.equal(await service.groupExists(name), false);
      await group.addUser(name);
      assert.equal(await service.groupExists(name), true);
      await service.removeUserFromAllGroups(name);
      assert.equal(await service.groupExists(name), false);
      await service.addConnectionsToGroups([name], odata`userId eq ${name}`);
      await group.sendToAll("once more", TEXT);
      assert.equal((await ann.group.next()).data, "once more");
      await service.removeConnectionsFromGroups([name], odata`userId eq ${name}`);
      assert.equal(await service.groupExists(name), false);

      await service.closeUserConnections(name, { reason: name });
      const farewell = await ann.disconnected.next();
      assert.equal(
        farewell.message.message,
        `Application server closed the connection. Reason: ${name}`,
      );
      await eventually("the user", false, () => service.userExists(name));
      assert.equal(bob.server.count, filter === undefined ? 1 : 0);
      bob.client.stop();
    });
  }

  test("names that are none", async () => {
    const service = serviceFor(server, server.newHub());
    const refused = (error) => error.statusCode === 400 && error.code === "Error.BadRequest";
    await assert.rejects(service.group("  ").sendToAll("x", TEXT), refused);
    await assert.rejects(service.group("x".repeat(1025)).sendToAll("x", TEXT), refused);
    await assert.rejects(service.userExists(" "), (error) => error.statusCode === 400);
    await assert.rejects(service.sendToConnection(" ", "x", TEXT), refused);
  });
});
