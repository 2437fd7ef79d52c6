// The `ws` package: simple clients, and the json subprotocol spoken by hand.

import assert from "node:assert/strict";
import { test } from "node:test";
import { againstEveryShardCount } from "../support/server.mjs";
import { EVERY_ROLE, JSON_PROTOCOL, openSocket, refusedStatus } from "../support/clients.mjs";

againstEveryShardCount("ws", (server) => {
  test("a simple client's messages are events, answered in order and kind", async () => {
    const client = await openSocket(server.clientUrl(server.newHub()));
    assert.equal(client.socket.protocol, "");
    const bytes = Buffer.from([0, 1, 254, 255]);
    client.socket.send("first");
    client.socket.send(bytes);
    client.socket.send("");
    client.socket.send("zuletzt: äöü €");
    assert.equal(await client.next(), "first");
    assert.deepEqual(await client.next(), bytes);
    assert.equal(await client.next(), "");
    assert.equal(await client.next(), "zuletzt: äöü €");
    client.close();
    assert.equal((await client.closed()).code, 1005);
  });

  test("a large message comes back whole", async () => {
    const client = await openSocket(server.clientUrl(server.newHub()));
    const text = "0123456789abcdef".repeat(50_000);
    client.socket.send(text);
    assert.equal(await client.next(), text);
    client.close();
  });

  test("sendToGroup mode publishes every message to the group", async () => {
    const hub = server.newHub();
    const member = await openSocket(
      server.clientUrl(hub, { userId: "mia", groups: ["news"] }),
      JSON_PROTOCOL,
    );
    await member.nextJson();
    const publisher = await openSocket(
      server.clientUrl(hub, {
        userId: "paul",
        roles: ["webpubsub.sendToGroup.news"],
        groups: ["news"],
        query: { webpubsub_mode: "sendToGroup", group: "news" },
      }),
    );
    publisher.socket.send("hello");
    publisher.socket.send(Buffer.from([1, 2, 3]));
    assert.equal(
      await member.next(),
      '{"type":"message","from":"group","group":"news","dataType":"text","data":"hello","fromUserId":"paul"}',
    );
    assert.equal(
      await member.next(),
      '{"type":"message","from":"group","group":"news","dataType":"binary","data":"AQID","fromUserId":"paul"}',
    );
    assert.equal(await publisher.next(), "hello");
    assert.deepEqual(await publisher.next(), Buffer.from([1, 2, 3]));
    member.close();
    publisher.close();
  });

  test("sendToGroup mode without the permission ends at the first message", async () => {
    const client = await openSocket(
      server.clientUrl(server.newHub(), {
        query: { webpubsub_mode: "sendToGroup", group: "news" },
      }),
    );
    client.socket.send("hello");
    assert.equal((await client.closed()).code, 1008);
  });

  test("the json subprotocol, message by message", async () => {
    const hub = server.newHub();
    const client = await openSocket(
      server.clientUrl(hub, { userId: "ann", roles: EVERY_ROLE }),
      JSON_PROTOCOL,
    );
    assert.equal(client.socket.protocol, JSON_PROTOCOL);
    assert.match(
      await client.next(),
      /^\{"type":"system","event":"connected","userId":"ann","connectionId":"[A-Za-z0-9_-]+"\}$/,
    );
    const exchange = async (request, ...answers) => {
      client.socket.send(request);
      for (const answer of answers) {
        assert.equal(await client.next(), answer);
      }
    };
    await exchange('{"type":"ping"}', '{"type":"pong"}');
    await exchange(
      '{"type":"joinGroup","group":"g","ackId":1}',
      '{"type":"ack","ackId":1,"success":true}',
    );
    await exchange(
      '{"type":"joinGroup","group":"g","ackId":1}',
      '{"type":"ack","ackId":1,"success":false,"error":{"name":"Duplicate","message":"Message with ack-id: 1 has been processed"}}',
    );
    await exchange(
      '{"type":"sendToGroup","group":"g","dataType":"json","data":{"n":1.50,"s":"\\u00e4"}}',
      '{"type":"message","from":"group","group":"g","dataType":"json","data":{"n":1.50,"s":"\\u00e4"},"fromUserId":"ann"}',
    );
    await exchange(
      '{"type":"event","event":"greet","dataType":"text","data":"hi","ackId":2}',
      '{"type":"message","from":"server","dataType":"text","data":"hi"}',
      '{"type":"ack","ackId":2,"success":true}',
    );
    client.close();
  });

  test("malformed json gets a reason and 1007", async () => {
    const client = await openSocket(server.clientUrl(server.newHub()), JSON_PROTOCOL);
    await client.nextJson();
    client.socket.send("{not json");
    const farewell = await client.nextJson();
    assert.equal(farewell.type, "system");
    assert.equal(farewell.event, "disconnected");
    assert.notEqual(farewell.message, "");
    assert.equal((await client.closed()).code, 1007);
  });

  test("subprotocols: a lone unknown one is echoed, among several the predefined one wins", async () => {
    const hub = server.newHub();
    const custom = await openSocket(server.clientUrl(hub), "acme.v2");
    assert.equal(custom.socket.protocol, "acme.v2");
    custom.socket.send("simple after all");
    assert.equal(await custom.next(), "simple after all");
    custom.close();
    const several = await openSocket(server.clientUrl(hub), ["acme.v2", JSON_PROTOCOL]);
    assert.equal(several.socket.protocol, JSON_PROTOCOL);
    assert.equal((await several.nextJson()).event, "connected");
    several.close();
  });

  test("who does not get in", async () => {
    const hub = server.newHub();
    const base = `ws://127.0.0.1:${server.port}/client/hubs`;
    const withToken = (token) => `${base}/${hub}?access_token=${token}`;
    const audience = `${server.endpoint}/client/hubs/${hub}`;
    const past = { exp: Math.floor(Date.now() / 1000) - 3600 };
    const cases = [
      ["no token", `${base}/${hub}`, 401],
      ["another key", withToken(server.token(audience, {}, "x".repeat(44))), 401],
      ["expired", withToken(server.token(audience, past)), 401],
      ["another hub", withToken(server.token(`${audience}x`)), 401],
      ["not a token", withToken("abc"), 401],
      ["bad hub name", `${base}/9lives?access_token=x`, 400],
      ["bad mode", server.clientUrl(hub, { query: { webpubsub_mode: "shout" } }), 400],
      ["no group", server.clientUrl(hub, { query: { webpubsub_mode: "sendToGroup" } }), 400],
      ["unknown path", `ws://127.0.0.1:${server.port}/elsewhere`, 404],
    ];
    for (const [what, url, status] of cases) {
      assert.equal(await refusedStatus(url), status, what);
    }
  });
});

againstEveryShardCount(
  "ws on an open hub",
  (server) => {
    test("an anonymous client may send events but not join", async () => {
      const url = `ws://127.0.0.1:${server.port}/client/hubs/${server.newHub()}`;
      const client = await openSocket(url, JSON_PROTOCOL);
      const connected = await client.nextJson();
      assert.equal(connected.event, "connected");
      assert.ok(!("userId" in connected));
      client.sendJson({ type: "joinGroup", group: "g", ackId: 1 });
      const refused = await client.nextJson();
      assert.equal(refused.success, false);
      assert.equal(refused.error.name, "Forbidden");
      client.sendJson({ type: "event", event: "hi", dataType: "text", data: "x" });
      assert.equal((await client.nextJson()).data, "x");
      client.close();
    });
  },
  { configuration: `[hub_defaults]\nanonymous_connect_policy = "allow"` },
);
