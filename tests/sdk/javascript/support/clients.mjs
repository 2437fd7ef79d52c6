// Clients whose messages can be waited for. Waiting always has a deadline and never a fixed time.

import WebSocket from "ws";
import { WebPubSubClient, WebPubSubJsonProtocol } from "@azure/web-pubsub-client";

export { EVERY_ROLE, JSON_PROTOCOL } from "./protocol.mjs";

const DEADLINE_MILLISECONDS = 10_000;

/** What arrived and was not taken yet, in order. */
export class Arrivals {
  #items = [];
  #waiting = [];

  push(item) {
    const taker = this.#waiting.shift();
    if (taker === undefined) {
      this.#items.push(item);
    } else {
      taker(item);
    }
  }

  /** The next item. */
  next() {
    if (this.#items.length > 0) {
      return Promise.resolve(this.#items.shift());
    }
    return withDeadline("a message", new Promise((resolve) => this.#waiting.push(resolve)));
  }

  get count() {
    return this.#items.length;
  }
}

/** A `ws` socket: `messages` has `{ data, isBinary }`, `closed` resolves to code and reason. */
export async function openSocket(url, subprotocols = []) {
  const socket = new WebSocket(url, subprotocols);
  const messages = new Arrivals();
  socket.on("message", (data, isBinary) => messages.push({ data, isBinary }));
  const closed = new Promise((resolve) => {
    socket.on("close", (code, reason) => resolve({ code, reason: reason.toString() }));
  });
  await withDeadline(
    "the handshake",
    new Promise((resolve, reject) => {
      socket.once("open", resolve);
      socket.once("error", reject);
    }),
  );
  // Later errors also end in `close`, which the test looks at.
  socket.on("error", () => {});
  const next = async () => {
    const { data, isBinary } = await messages.next();
    return isBinary ? data : data.toString();
  };
  return {
    socket,
    messages,
    next,
    nextJson: async () => JSON.parse(await next()),
    sendJson: (value) => socket.send(JSON.stringify(value)),
    closed: () => withDeadline("the close", closed),
    close: () => socket.close(),
  };
}

/** The HTTP status with which the server refuses a handshake. */
export function refusedStatus(url, subprotocols = []) {
  const socket = new WebSocket(url, subprotocols);
  return withDeadline(
    "the refusal",
    new Promise((resolve, reject) => {
      socket.once("unexpected-response", (request, response) => {
        request.destroy();
        resolve(response.statusCode);
      });
      socket.once("open", () => {
        socket.terminate();
        reject(new Error("the handshake was accepted"));
      });
      socket.on("error", () => {});
    }),
  );
}

/** A started SDK client on the plain json protocol, which gives up easily. */
export function startClient(url, options = {}) {
  return startReliableClient(url, {
    protocol: WebPubSubJsonProtocol(),
    autoReconnect: false,
    messageRetryOptions: { maxRetries: 0 },
    ...options,
  });
}

/**
 * A started SDK client with the defaults that the SDK chooses, the reliable json protocol among
 * them; `group`, `server`, … hold what arrived.
 */
export async function startReliableClient(url, options) {
  const client = new WebPubSubClient(url, options);
  const arrivals = {
    connected: new Arrivals(),
    disconnected: new Arrivals(),
    stopped: new Arrivals(),
    group: new Arrivals(),
    server: new Arrivals(),
  };
  client.on("connected", (event) => arrivals.connected.push(event));
  client.on("disconnected", (event) => arrivals.disconnected.push(event));
  client.on("stopped", (event) => arrivals.stopped.push(event));
  client.on("group-message", (event) => arrivals.group.push(event.message));
  client.on("server-message", (event) => arrivals.server.push(event.message));
  await client.start();
  const { connectionId, userId } = await arrivals.connected.next();
  return { client, connectionId, userId, ...arrivals };
}

/** Asks again until the answer is the wanted one. */
export async function eventually(what, wanted, ask) {
  const deadline = Date.now() + DEADLINE_MILLISECONDS;
  for (;;) {
    const answer = await ask();
    if (answer === wanted) {
      return;
    }
    if (Date.now() > deadline) {
      throw new Error(`${what}: still ${answer}, not ${wanted}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function withDeadline(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no sign of ${what}`)), DEADLINE_MILLISECONDS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
