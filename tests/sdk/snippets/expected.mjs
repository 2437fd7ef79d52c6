// What each program of the documentation does when it works.
//
// `prints`: lists of texts, each list to be printed in its order; `ends`: it ends by itself;
// `type`: what to type after which text; `enter`: it waits for Enter in the end; `click`: it has a
// button, to be clicked after a text; `watch`: what others see of it.

import assert from "node:assert/strict";
import { EVERY_ROLE, JSON_PROTOCOL, openSocket } from "../javascript/support/clients.mjs";

const HELLO = { prints: [['"event":"connected"', '"type":"message"', '"data":"hello"']] };

/** All messages are there, and the three requests are answered; the order of the two is free. */
const PUBSUB = {
  prints: [
    [/data\W+hello/, /number\W+1/, /data\W+AQID/],
    [/connected/, /ackId\W+1\b/, /ackId\W+2\b/, /ackId\W+3\b/],
  ],
  ends: true,
};

const SENDING = {
  ends: true,
  async watch(server, act) {
    const ann = await enter(server, { userId: "ann", groups: ["room"] });
    await act();
    const seen = [];
    while (seen.length < 4) {
      const { group, dataType, data } = await ann.nextJson();
      seen.push([group, dataType, data]);
    }
    assert.deepEqual(seen, [
      [undefined, "json", { news: "JSON for everybody" }],
      [undefined, "text", "a text"],
      ["room", "binary", "AQID"],
      [undefined, "text", "for some"],
    ]);
    ann.close();
  },
};

const MANAGING = {
  prints: [[" ann", /true true/i]],
  ends: true,
  async watch(server, act) {
    const ann = await enter(server, { userId: "ann" });
    await act();
    assert.equal(
      (await ann.nextJson()).message,
      "Application server closed the connection. Reason: closing time",
    );
    assert.equal((await ann.closed()).code, 1000);
  },
};

const URL = {
  ends: true,
  async watch(_, act) {
    const url = (await act()).trim();
    const ann = await openSocket(url, JSON_PROTOCOL);
    assert.equal((await ann.nextJson()).userId, "ann");
    ann.sendJson({ type: "sendToGroup", group: "room", dataType: "text", data: "mine", ackId: 1 });
    const answers = [await ann.nextJson(), await ann.nextJson()];
    assert.ok(answers.some(({ data }) => data === "mine"));
    assert.ok(answers.some(({ success }) => success === true));
    ann.sendJson({ type: "sendToGroup", group: "other", dataType: "text", data: "x", ackId: 2 });
    assert.equal((await ann.nextJson()).error.name, "Forbidden");
    ann.close();
  },
};

const TO_THE_ROOM = (text) => ({
  ends: true,
  async watch(server, act) {
    const member = await enter(server, { groups: ["room"] });
    await act();
    const { group, dataType, data } = await member.nextJson();
    assert.deepEqual([group, dataType, data], ["room", "text", text]);
    member.close();
  },
});

export const EXPECTED = {
  "hello-shell": {
    type: ["join room", "send room hello"],
    prints: [["connected", "[room] hello"]],
  },
  "hello-node": HELLO,
  "hello-browser": HELLO,
  "hello-python": HELLO,
  "hello-csharp": HELLO,
  "hello-java": { ...HELLO, enter: true, ends: true },
  "hello-service": TO_THE_ROOM("hello from the server"),

  "simple-node": { prints: [["hello", "<Buffer 01 02 03>"]] },
  "simple-node-group": { prints: [["hello, room"]] },
  "simple-browser": { prints: [["connected", "hello"]], click: "connected" },
  "simple-python": { prints: [["hello", "b'\\x01\\x02\\x03'"]] },
  "simple-csharp": { prints: [["hello", "01-02-03"]] },
  "simple-java": { prints: [["hello", "3 bytes"]], enter: true, ends: true },

  "pubsub-node": {
    prints: [
      ["ann to lobby: text hello", "ann to lobby: json { number: 1 }", "ann to lobby: binary AQID"],
      ["connected", "request 1 done", "request 2 done", "request 3 done"],
    ],
    ends: true,
  },
  "pubsub-browser": {
    prints: [["connected", "request 1 done"], ["ann to lobby: text hello"], ["request 2 done"]],
    click: "request 1 done",
  },
  "pubsub-python": PUBSUB,
  // Mono can take most of a minute to end after `Main`.
  "pubsub-csharp": { ...PUBSUB, ends: false },
  "pubsub-java": PUBSUB,

  // Its timers keep the process alive for a while after `stop`.
  "vendor-node": {
    prints: [["connected"], ["lobby text hello", "lobby json", "lobby binary"], ["server text hi"]],
  },
  // It hands every message to a thread of its own, so their order is not kept.
  "vendor-python": {
    prints: [["Enter ends"], ["lobby hello"], ["lobby {'number': 1}"], ["server hi"]],
    enter: true,
    ends: true,
  },
  "stream-node": { prints: [["Once upon", "a time", "the end"]] },

  "url-node": URL,
  "url-python": URL,
  "send-node": SENDING,
  "send-python": SENDING,
  "manage-node": MANAGING,
  "manage-python": MANAGING,
  "send-cli": TO_THE_ROOM("hello from the shell"),
  "send-curl": TO_THE_ROOM("hello from the shell"),
};

async function enter(server, claims) {
  const url = server.clientUrl("chat", { roles: EVERY_ROLE, ...claims });
  const client = await openSocket(url, JSON_PROTOCOL);
  assert.equal((await client.nextJson()).event, "connected");
  return client;
}
