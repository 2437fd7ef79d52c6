// A page in headless Chromium: the browser's own WebSocket, from a real origin.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { launch } from "../support/chromium.mjs";
import { againstEveryShardCount } from "../../javascript/support/server.mjs";

const JSON_PROTOCOL = "json.webpubsub.azure.v1";
const EVERY_ROLE = ["webpubsub.joinLeaveGroup", "webpubsub.sendToGroup"];

let browser;
let site;
let origin;

before(async () => {
  site = createServer((_, response) => {
    response.setHeader("content-type", "text/html");
    response.end("<!doctype html><title>A page</title>");
  });
  site.listen(0, "127.0.0.1");
  await once(site, "listening");
  origin = `http://127.0.0.1:${site.address().port}/`;
  browser = await launch();
});

after(async () => {
  await browser?.close();
  site?.close();
});

async function openPage() {
  const page = await browser.newPage();
  await page.goto(origin);
  await page.evaluate(installConnect);
  return page;
}

/** Runs in the page: gives it `connect`, a socket whose messages can be waited for. */
function installConnect() {
  window.connect = (url, ...protocols) =>
    new Promise((resolve, reject) => {
      const socket = new WebSocket(url, ...protocols);
      socket.binaryType = "arraybuffer";
      const items = [];
      const takers = [];
      const next = () =>
        new Promise((take, late) => {
          if (items.length > 0) {
            take(items.shift());
            return;
          }
          takers.push(take);
          setTimeout(() => late(new Error("no message")), 10_000);
        });
      const closed = new Promise((done) => {
        socket.onclose = ({ code, reason, wasClean }) => done({ code, reason, wasClean });
      });
      socket.onmessage = ({ data }) => {
        const taker = takers.shift();
        if (taker === undefined) {
          items.push(data);
        } else {
          taker(data);
        }
      };
      socket.onerror = () => reject(new Error(`cannot connect to ${url}`));
      socket.onopen = () => resolve({ socket, next, closed });
    });
}

againstEveryShardCount("a page in Chromium", (server) => {
  test("joins a group, publishes, and reads what it published", async () => {
    const page = await openPage();
    const url = server.clientUrl(server.newHub(), { userId: "ann", roles: EVERY_ROLE });
    const seen = await page.evaluate(
      async ([url, protocol]) => {
        const { socket, next, closed } = await window.connect(url, protocol);
        const seen = [socket.protocol, JSON.parse(await next()).userId];
        const send = (message) => socket.send(JSON.stringify(message));
        send({ type: "joinGroup", group: "g", ackId: 1 });
        seen.push(await next());
        send({ type: "sendToGroup", group: "g", dataType: "text", data: "hällo €" });
        seen.push(await next());
        socket.close(1000);
        seen.push(await closed);
        return seen;
      },
      [url, JSON_PROTOCOL],
    );
    assert.deepEqual(seen, [
      JSON_PROTOCOL,
      "ann",
      '{"type":"ack","ackId":1,"success":true}',
      '{"type":"message","from":"group","group":"g","dataType":"text","data":"hällo €","fromUserId":"ann"}',
      { code: 1000, reason: "", wasClean: true },
    ]);
    await page.close();
  });

  test("is a simple client under a subprotocol of its own", async () => {
    const page = await openPage();
    const url = server.clientUrl(server.newHub());
    const seen = await page.evaluate(async (url) => {
      const { socket, next } = await window.connect(url, "acme.v2");
      socket.send("text");
      const text = await next();
      socket.send(new Uint8Array([1, 2, 255]));
      const bytes = [...new Uint8Array(await next())];
      const large = "x".repeat(300_000);
      socket.send(large);
      const same = (await next()) === large;
      socket.close();
      return { protocol: socket.protocol, text, bytes, same };
    }, url);
    assert.deepEqual(seen, { protocol: "acme.v2", text: "text", bytes: [1, 2, 255], same: true });
    await page.close();
  });

  test("is told that it may not enter", async () => {
    const page = await openPage();
    const url = server.clientUrl(server.newHub()).split("?")[0];
    await assert.rejects(
      page.evaluate((url) => window.connect(url).then(() => {}), url),
      /cannot connect/,
    );
    await page.close();
  });
});
