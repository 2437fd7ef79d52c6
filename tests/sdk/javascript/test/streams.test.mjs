// Group streams of `@azure/web-pubsub-client`, on both json protocols.

import assert from "node:assert/strict";
import { test } from "node:test";
import { WebPubSubJsonProtocol, WebPubSubJsonReliableProtocol } from "@azure/web-pubsub-client";
import { FaultProxy } from "../../fault-proxy/proxy.mjs";
import { Arrivals, EVERY_ROLE, eventually, startReliableClient } from "../support/clients.mjs";
import { FIRST_SEED } from "../support/disturbed.mjs";
import { againstEveryShardCount } from "../support/server.mjs";
import { serviceFor } from "../support/service.mjs";

const CONTENTS = [
  ["text", "hällo, wörld €"],
  ["json", { list: [1, "two", null], nested: { ok: true } }],
  ["json", 0],
  ["binary", new Uint8Array([0, 127, 128, 255]).buffer],
  ["text", "a long one ".repeat(20_000)],
];

const PROTOCOLS = { json: WebPubSubJsonProtocol, "json.reliable": WebPubSubJsonReliableProtocol };

againstEveryShardCount("group streams", (server) => {
  for (const [name, protocol] of Object.entries(PROTOCOLS)) {
    const start = async (hub, options = {}) => {
      const url = server.clientUrl(hub, { roles: EVERY_ROLE, ...options });
      const started = await startReliableClient(url, { protocol: protocol() });
      const streams = new Arrivals();
      started.client.onGroupStream((stream) => streams.push(stream));
      return { ...started, streams };
    };
    const member = async (hub, options) => {
      const started = await start(hub, options);
      await started.client.joinGroup("g");
      return started;
    };

    test(`${name}: every type of data reaches every member, in order`, async () => {
      const hub = server.newHub();
      const writer = await member(hub, { userId: "wanda" });
      const members = await Promise.all([member(hub), member(hub), member(hub), writer]);
      const outgoing = await writer.client.openGroupStream("g");
      for (const [dataType, data] of CONTENTS) {
        await outgoing.write(data, dataType);
      }
      await outgoing.end();
      for (const { streams, group } of members) {
        const incoming = await streams.next();
        assert.equal(incoming.streamId, outgoing.streamId);
        assert.equal(incoming.groupName, "g");
        const { messages, error } = await read(incoming);
        assert.equal(error, undefined);
        assert.deepEqual(
          messages.map(({ dataType, data }) => [dataType, data]),
          CONTENTS,
        );
        assert.deepEqual(
          messages.map(({ stream }) => stream.streamSequenceId),
          CONTENTS.map((_, index) => index + 1),
        );
        assert.ok(messages.every(({ fromUserId }) => fromUserId === "wanda"));
        // Fragments are messages of the group too, and so is the end.
        assert.equal(group.count, CONTENTS.length + 1);
      }
      stop(members);
    });

    test(`${name}: noEcho leaves out the writer alone`, async () => {
      const hub = server.newHub();
      const [writer, other] = await Promise.all([member(hub), member(hub)]);
      const outgoing = await writer.client.openGroupStream("g", { noEcho: true });
      await outgoing.write("silent", "text");
      await outgoing.end();
      assert.deepEqual(dataOf(await read(await other.streams.next())), ["silent"]);
      await writer.client.sendToGroup("g", "loud", "text");
      assert.equal((await writer.group.next()).data, "loud");
      stop([writer, other]);
    });

    test(`${name}: streams run beside each other`, async () => {
      const hub = server.newHub();
      const [first, second, reader] = await Promise.all([start(hub), start(hub), member(hub)]);
      const ids = ["s1", "s2", "s3"];
      const writers = [first, first, second];
      const outgoing = await Promise.all(
        ids.map((streamId, index) => writers[index].client.openGroupStream("g", { streamId })),
      );
      const wanted = Object.fromEntries(ids.map((id) => [id, []]));
      for (let n = 0; n < 100; n += 1) {
        for (const stream of outgoing) {
          await stream.write(n, "json");
          wanted[stream.streamId].push(n);
        }
      }
      await Promise.all(outgoing.map((stream) => stream.end()));
      const arrived = {};
      for (let n = 0; n < ids.length; n += 1) {
        const incoming = await reader.streams.next();
        arrived[incoming.streamId] = dataOf(await read(incoming));
      }
      assert.deepEqual(arrived, wanted);
      stop([first, second, reader]);
    });

    test(`${name}: an abort says why`, async () => {
      const hub = server.newHub();
      const [writer, reader] = await Promise.all([start(hub), member(hub)]);
      const outgoing = await writer.client.openGroupStream("g");
      await outgoing.write("so far", "text");
      await outgoing.abort({ message: "out of ink", userErrorCode: "E42" });
      const { messages, error } = await read(await reader.streams.next());
      assert.deepEqual(dataOf({ messages }), ["so far"]);
      assert.deepEqual(error, { name: "UserError", message: "out of ink", userErrorCode: "E42" });
      stop([writer, reader]);
    });

    test(`${name}: silence for too long ends it on both sides`, async () => {
      const hub = server.newHub();
      const [writer, reader] = await Promise.all([start(hub), member(hub)]);
      const errors = new Arrivals();
      const outgoing = await writer.client.openGroupStream("g", { idleTimeoutInMs: 300 });
      outgoing.onError((error) => errors.push(error));
      await outgoing.write("and then", "text");
      const { messages, error } = await read(await reader.streams.next());
      assert.deepEqual(dataOf({ messages }), ["and then"]);
      assert.equal(error.name, "IdleTimeout");
      assert.equal((await errors.next()).name, "IdleTimeout");
      await assert.rejects(outgoing.write("too late", "text"));
      stop([writer, reader]);
    });

    test(`${name}: an id can be used again once its stream has ended`, async () => {
      const hub = server.newHub();
      const [writer, reader] = await Promise.all([start(hub), member(hub)]);
      const open = () => writer.client.openGroupStream("g", { streamId: "the one" });
      for (const text of ["first", "second", "third"]) {
        let outgoing;
        // Until its end is confirmed the SDK refuses an id by itself.
        await eventually("the end of the stream before", true, async () => {
          outgoing = await open().catch((error) => assert.match(error.message, /already exists/));
          return outgoing !== undefined;
        });
        await outgoing.write(text, "text");
        await outgoing.end();
        const incoming = await reader.streams.next();
        assert.equal(incoming.streamId, "the one");
        assert.deepEqual(dataOf(await read(incoming)), [text]);
      }
      stop([writer, reader]);
    });

    test(`${name}: without the permission no stream begins`, async () => {
      const hub = server.newHub();
      const writer = await start(hub, { roles: ["webpubsub.sendToGroup.mine"] });
      await assert.rejects(writer.client.openGroupStream("g"), { name: "Forbidden" });
      const outgoing = await writer.client.openGroupStream("mine");
      await outgoing.write("unheard", "text");
      await outgoing.end();
      stop([writer]);
    });

    test(`${name}: it is cancelled when its writer is sent away`, async () => {
      const hub = server.newHub();
      const [writer, reader] = await Promise.all([start(hub), member(hub)]);
      const outgoing = await writer.client.openGroupStream("g");
      await outgoing.write("to be contin", "text");
      const incoming = await reader.streams.next();
      await serviceFor(server, hub).closeConnection(writer.connectionId);
      const { messages, error } = await read(incoming);
      assert.deepEqual(dataOf({ messages }), ["to be contin"]);
      assert.equal(error.name, "Cancelled");
      stop([writer, reader]);
    });
  }

  for (const [side, seed] of [["writer", FIRST_SEED + 20], ["reader", FIRST_SEED + 21]]) {
    test(`json.reliable: nothing is lost when the ${side} is cut off many times`, async (t) => {
      const hub = server.newHub();
      const proxy = await new FaultProxy(server.port).start();
      t.after(() => proxy.stop());
      const start = (behind) =>
        startReliableClient(
          server.clientUrl(hub, { roles: EVERY_ROLE, ...(behind && { endpoint: proxy.endpoint }) }),
        );
      const writer = await start(side === "writer");
      const reader = await start(side === "reader");
      await reader.client.joinGroup("g");
      const reading = [];
      reader.client.onGroupStream((stream) => reading.push(read(stream)));
      const ids = ["s1", "s2", "s3"];
      const outgoing = await Promise.all(
        ids.map((streamId) => writer.client.openGroupStream("g", { streamId })),
      );
      const errors = [];
      outgoing.forEach((stream) => stream.onError((error) => errors.push(error)));
      proxy.disturb({ seed, shortestGap: 300, longestGap: 1500 });
      const wanted = [];
      for (let n = 1; n <= 300; n += 1) {
        await Promise.all(outgoing.map((stream) => stream.write(n, "json")));
        wanted.push(n);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      proxy.calm();
      await Promise.all(outgoing.map((stream) => stream.end()));
      const about = `seed ${seed} (FAULT_SEED=${FIRST_SEED}), ${JSON.stringify(proxy.counts)}`;
      await eventually(`all streams, ${about}`, ids.length, () => reading.length);
      for (const arrived of await Promise.all(reading)) {
        assert.equal(arrived.error, undefined, about);
        assert.deepEqual(dataOf(arrived), wanted, about);
      }
      // If the confirmation of an end was lost, the SDK ends the stream once more.
      assert.deepEqual(errors.filter(({ name }) => name !== "StreamNotFound"), [], about);
      assert.ok(proxy.accepted > 1, about);
      t.diagnostic(`${about}, ${proxy.accepted} connections`);
      stop([writer, reader]);
    });
  }
}, { concurrency: 4 });

/** Everything of a stream, and the error that ended it if one did. */
async function read(stream) {
  const messages = [];
  try {
    for await (const message of stream) {
      messages.push(message);
    }
    return { messages };
  } catch (error) {
    return { messages, error };
  }
}

function dataOf({ messages }) {
  return messages.map(({ data }) => data);
}

function stop(started) {
  started.forEach(({ client }) => client.stop());
}
