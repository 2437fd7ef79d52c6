// The reliable json subprotocol spoken by hand over `ws`: sockets that take a session over from one
// another, faster than any SDK would.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FaultProxy } from "../../fault-proxy/proxy.mjs";
import { between, numbersFrom } from "../../fault-proxy/seed.mjs";
import { EVERY_ROLE, eventually, openSocket, startClient } from "../support/clients.mjs";
import { FIRST_SEED } from "../support/disturbed.mjs";
import { RELIABLE_JSON_PROTOCOL } from "../support/protocol.mjs";
import { againstEveryShardCount } from "../support/server.mjs";
import { serviceFor } from "../support/service.mjs";

const MESSAGES = 3000;
const BURST = 50;

againstEveryShardCount("sessions that move from socket to socket", (server) => {
  const connect = async (hub, endpoint) => {
    const claims = { userId: "ann", roles: EVERY_ROLE, groups: ["g"] };
    const url = server.clientUrl(hub, { ...claims, endpoint });
    const socket = await openSocket(url, RELIABLE_JSON_PROTOCOL);
    return { ...socket, connected: await socket.nextJson() };
  };

  /** The claims are missing on purpose: the reconnection token is enough. */
  const recover = (hub, { connectionId, reconnectionToken }) => {
    const query = new URLSearchParams({
      awps_connection_id: connectionId,
      awps_reconnection_token: reconnectionToken,
    });
    const url = `${server.endpoint.replace("http", "ws")}/client/hubs/${hub}?${query}`;
    return openSocket(url, RELIABLE_JSON_PROTOCOL);
  };

  test("of many who come back at once, one has the session", async () => {
    const hub = server.newHub();
    const service = serviceFor(server, hub);
    const { connected, ...first } = await connect(hub);
    await service.sendToUser("ann", { n: 1 });
    await first.nextJson();
    const sockets = await Promise.all(Array.from({ length: 12 }, () => recover(hub, connected)));
    const open = () => sockets.filter(({ socket }) => socket.readyState === socket.OPEN);
    await eventually("the only socket", 1, () => open().length);
    await first.closed();
    const [winner] = open();
    assert.equal((await winner.nextJson()).connectionId, connected.connectionId);
    await service.sendToUser("ann", { n: 2 });
    for (const n of [1, 2]) {
      const { sequenceId, data } = await winner.nextJson();
      assert.deepEqual([sequenceId, data], [n, { n }]);
    }
    winner.close();
  });

  test("a socket that has fallen silent makes way", async (t) => {
    const hub = server.newHub();
    const service = serviceFor(server, hub);
    const proxy = await new FaultProxy(server.port).start();
    t.after(() => proxy.stop());
    const { connected, ...silent } = await connect(hub, proxy.endpoint);
    proxy.inflict("silence");
    silent.sendJson({ type: "sendToGroup", group: "g", dataType: "text", data: "unheard" });
    await service.sendToUser("ann", { n: 1 });
    const back = await recover(hub, connected);
    assert.equal((await back.nextJson()).connectionId, connected.connectionId);
    await service.sendToUser("ann", { n: 2 });
    for (const n of [1, 2]) {
      const { sequenceId, data } = await back.nextJson();
      assert.deepEqual([sequenceId, data], [n, { n }]);
    }
    assert.equal(silent.socket.readyState, silent.socket.OPEN);
    assert.equal(silent.messages.count, 0);
    back.close();
  });

  for (const way of ["is lost", "is taken over", "is lost or taken over"]) {
    const seed = FIRST_SEED + 30 + way.length;
    test(`nothing is lost when every socket ${way} after some messages`, async (t) => {
      const random = numbersFrom(seed);
      const about = `seed ${seed} (FAULT_SEED=${FIRST_SEED})`;
      const hub = server.newHub();
      let { connected, ...client } = await connect(hub);
      const publisher = await startClient(server.clientUrl(hub, { roles: EVERY_ROLE }));
      let last = 0;
      let published = 0;
      let sockets = 1;
      while (last < MESSAGES) {
        // Never more than the server keeps.
        while (published < MESSAGES && published - last < 8 * BURST) {
          published += 1;
          await publisher.client.sendToGroup("g", published, "json", { fireAndForget: true });
        }
        for (let left = between(random, 1, 2 * BURST); left > 0 && last < MESSAGES; left -= 1) {
          const message = await client.nextJson();
          if (message.type !== "message") {
            assert.equal(message.connectionId, connected.connectionId, about);
          } else if (message.sequenceId > last) {
            assert.deepEqual([message.sequenceId, message.data], [last + 1, last + 1], about);
            last += 1;
          }
        }
        if (random() < 0.7) {
          client.sendJson({ type: "sequenceAck", sequenceId: last });
        }
        const lost = way === "is lost" || (way !== "is taken over" && random() < 0.5);
        if (lost) {
          client.socket.terminate();
        }
        const next = await recover(hub, connected);
        sockets += 1;
        if (!lost) {
          await client.closed();
        }
        client = next;
      }
      t.diagnostic(`${about}: ${sockets} sockets`);
      client.close();
      publisher.client.stop();
    });
  }
});
