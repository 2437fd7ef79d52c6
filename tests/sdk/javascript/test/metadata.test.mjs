// Message metadata, for which the SDKs have no names: json sockets by hand, and REST.

import assert from "node:assert/strict";
import { test } from "node:test";
import { EVERY_ROLE, JSON_PROTOCOL, openSocket } from "../support/clients.mjs";
import { RELIABLE_JSON_PROTOCOL } from "../support/protocol.mjs";
import { againstEveryShardCount } from "../support/server.mjs";

// 8192 bytes in all.
const AT_MOST = Object.fromEntries([..."abcdefgh"].map((key) => [key, "v".repeat(1023)]));

againstEveryShardCount("metadata", (server) => {
  const member = async (hub, protocol, query) => {
    const url = server.clientUrl(hub, { userId: "ann", roles: EVERY_ROLE, groups: ["g"], query });
    const socket = await openSocket(url, protocol);
    return { ...socket, connected: await socket.nextJson() };
  };

  /** Sends over REST with these headers. */
  async function post(hub, path, body, headers) {
    const audience = `${server.endpoint}/api/hubs/${hub}/${path}`;
    const response = await fetch(`${audience}?api-version=2024-12-01`, {
      method: "POST",
      body,
      headers: {
        authorization: `Bearer ${server.token(audience)}`,
        "content-type": "text/plain",
        ...headers,
      },
    });
    assert.equal(response.status, 202, await response.text());
  }

  test("a client's metadata reaches the members as it is", async () => {
    const hub = server.newHub();
    const sender = await member(hub, JSON_PROTOCOL);
    const reliable = await member(hub, RELIABLE_JSON_PROTOCOL);
    const check = async (request, expected) => {
      sender.sendJson({ type: "sendToGroup", group: "g", ...request });
      const fromAnn = { type: "message", from: "group", group: "g", fromUserId: "ann" };
      const message = { ...fromAnn, ...expected };
      assert.deepEqual(await sender.nextJson(), message);
      const { sequenceId, ...received } = await reliable.nextJson();
      assert.equal(typeof sequenceId, "number");
      assert.deepEqual(received, message);
    };
    const text = { dataType: "text", data: "hi" };
    for (const request of [
      { ...text, metadata: { Trace: "7", "x-y": "" } },
      { ...text, metadata: AT_MOST },
      { dataType: "json", data: [1], metadata: { a: "b" } },
    ]) {
      await check(request, request);
    }
    const metadata = { only: "this" };
    await check({ metadata }, { dataType: "text", data: "", metadata });
    await check({ ...text, metadata: {} }, text);
    await check({ ...text, metadata: null }, text);
    sender.close();
    reliable.close();
  });

  test("what is not metadata ends the connection", async () => {
    const hub = server.newHub();
    const check = async (metadata) => {
      const client = await member(hub, JSON_PROTOCOL);
      const request = { type: "sendToGroup", group: "other", dataType: "text", data: "" };
      client.sendJson({ ...request, metadata });
      const { code } = await client.closed();
      assert.equal(code, 1007, JSON.stringify(metadata).slice(0, 80));
    };
    await check("text");
    await check(["list"]);
    await check({ number: 1 });
    await check({ nothing: null });
    await check({ "": "no name" });
    await check({ "a b": "blank" });
    await check({ ä: "not ASCII" });
    await check({ a: "nicht ASCII: ä" });
    await check({ ["k".repeat(257)]: "long name" });
    await check({ a: "v".repeat(1025) });
    await check({ a: "line\nbreak" });
    await check({ ...AT_MOST, i: "" });
  });

  test("metadata over REST is kept for a reliable client that is away", async () => {
    const hub = server.newHub();
    const { connected, ...client } = await member(hub, RELIABLE_JSON_PROTOCOL);
    client.socket.terminate();
    await client.closed();
    await post(hub, ":send", "first", { "X-WebPubSub-Metadata-Trace": "first, final" });
    await post(hub, "groups/g/:send", "second", {});
    const back = await member(hub, RELIABLE_JSON_PROTOCOL, {
      awps_connection_id: connected.connectionId,
      awps_reconnection_token: connected.reconnectionToken,
    });
    assert.equal(back.connected.connectionId, connected.connectionId);
    const message = { type: "message", dataType: "text" };
    assert.deepEqual(await back.nextJson(), {
      sequenceId: 1,
      ...message,
      from: "server",
      data: "first",
      metadata: { trace: "final" },
    });
    assert.deepEqual(await back.nextJson(), {
      sequenceId: 2,
      ...message,
      from: "group",
      group: "g",
      data: "second",
    });
    back.close();
  });
});
