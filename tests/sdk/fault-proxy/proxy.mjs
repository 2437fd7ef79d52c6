// A TCP proxy on loopback that breaks connections when it is told to, or by a seeded schedule. It
// knows nothing of what it forwards.

import net from "node:net";
import { between, numbersFrom, oneOf } from "./seed.mjs";

const LONGEST_SILENCE_MILLISECONDS = 1500;
const LONGEST_LAG_MILLISECONDS = 120;

/**
 * What can be done to a link, that is a client's connection and the proxy's own to the server:
 *
 * - `reset`: both sides get a TCP reset.
 * - `finish`: both sides get an end of stream without a closing handshake.
 * - `tearDown`, `tearUp`: of what the server, or the client, sends next, a part arrives and then an
 *   end of stream, as a rule in the middle of a WebSocket frame.
 * - `stall`: for a while nothing is read from either side.
 * - `lag`: from now on everything arrives later.
 * - `halfOpen`: the client gets a reset; the server's side stays open and is read, and is silent.
 * - `frozen`: likewise, but what the server writes stays in the buffers between.
 * - `silence`: both sides stay open, and nothing that they send arrives any more.
 * - `outage`: all links are reset, and for a while every new connection too.
 */
const FAULTS = {
  reset: (link) => link.reset(),
  finish: (link) => link.finish(),
  tearDown: (link, random) => link.down.tear(random),
  tearUp: (link, random) => link.up.tear(random),
  stall: (link, random) => link.stall(between(random, 50, LONGEST_SILENCE_MILLISECONDS)),
  lag: (link, random) => link.lag(between(random, 1, LONGEST_LAG_MILLISECONDS)),
  halfOpen: (link) => link.loseClient(false),
  frozen: (link) => link.loseClient(true),
  silence: (link) => link.silence(),
  outage: (link, random, proxy) => proxy.refuse(between(random, 50, LONGEST_SILENCE_MILLISECONDS)),
};

// A client would notice silence only after minutes. An outage hits everybody, so it is rarer.
const USUAL = ["reset", "finish", "tearDown", "tearUp", "stall", "lag", "halfOpen", "frozen"];
const SCHEDULED = [...USUAL, ...USUAL, ...USUAL, "outage"];

export class FaultProxy {
  #target;
  #gentle;
  #server;
  #clients = new Set();
  #links = new Set();
  #schedule;
  #refusal;
  /** How many connections it has accepted. */
  accepted = 0;
  /** How often each fault hit a link. */
  counts = {};

  /**
   * `target` is the port on loopback that it forwards to. With `gentle`, clients get an end of
   * stream wherever they would get a reset, for those that take a reset for a refusal.
   */
  constructor(target, { gentle = false } = {}) {
    this.#target = target;
    this.#gentle = gentle;
    this.#server = net.createServer({ allowHalfOpen: true }, (client) => this.#link(client));
  }

  async start() {
    await new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(0, "127.0.0.1", resolve);
    });
    this.port = this.#server.address().port;
    this.endpoint = `http://127.0.0.1:${this.port}`;
    return this;
  }

  async stop() {
    this.calm();
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#links.forEach((link) => link.reset());
    this.#clients.forEach((client) => client.destroy());
    await closed;
  }

  /** Whether some client and the server are connected through it. */
  get connected() {
    return [...this.#links].some((link) => link.whole);
  }

  /** Does something to all links, or to one of them that `random` chooses. */
  inflict(fault, random) {
    const whole = [...this.#links].filter((link) => link.whole);
    const hit = random === undefined ? whole : whole.length > 0 ? [oneOf(random, whole)] : [];
    for (const link of hit) {
      FAULTS[fault](link, random ?? numbersFrom(0), this);
      this.counts[fault] = (this.counts[fault] ?? 0) + 1;
    }
  }

  /** Inflicts one of these faults after the other, each on one link, until `calm`. */
  disturb({ seed, faults = SCHEDULED, shortestGap = 50, longestGap = 500 }) {
    const random = numbersFrom(seed);
    const strike = () => {
      this.inflict(oneOf(random, faults), random);
      this.#schedule = setTimeout(strike, between(random, shortestGap, longestGap));
    };
    this.#schedule = setTimeout(strike, between(random, shortestGap, longestGap));
  }

  /** Ends the schedule, the refusals, the stalls and the lags; what is broken stays broken. */
  calm() {
    clearTimeout(this.#schedule);
    this.accept();
    this.#links.forEach((link) => link.calm());
  }

  /** Resets all links, and every new connection until `accept` or the given time. */
  refuse(milliseconds) {
    this.accept();
    this.#links.forEach((link) => link.reset());
    this.#refusal = {
      timer: milliseconds && setTimeout(() => this.accept(), milliseconds),
    };
  }

  accept() {
    clearTimeout(this.#refusal?.timer);
    this.#refusal = undefined;
  }

  #link(client) {
    this.#clients.add(client);
    client.once("close", () => this.#clients.delete(client));
    if (this.#refusal !== undefined) {
      client.on("error", () => {});
      abandon(client, this.#gentle);
      return;
    }
    this.accepted += 1;
    const server = net.connect({ port: this.#target, host: "127.0.0.1", allowHalfOpen: true });
    const link = new Link(client, server, this.#gentle);
    this.#links.add(link);
    link.gone.then(() => this.#links.delete(link));
  }
}

class Link {
  #client;
  #server;
  #gentle;
  #stalled;

  constructor(client, server, gentle) {
    this.#client = client;
    this.#server = server;
    this.#gentle = gentle;
    this.up = new Lane(client, server, this);
    this.down = new Lane(server, client, this);
    const closed = (socket) => new Promise((resolve) => socket.once("close", resolve));
    this.gone = Promise.all([closed(client), closed(server)]);
  }

  /** Whether both sides are connected and hear each other. */
  get whole() {
    return !this.#client.destroyed && this.#server.readyState === "open" && !this.up.lost;
  }

  reset() {
    this.silence();
    abandon(this.#client, this.#gentle);
    this.#server.resetAndDestroy();
  }

  /** What the two still send is read, so that it does not turn the end into a reset. */
  finish() {
    this.silence();
    this.#client.end();
    this.#server.end();
  }

  stall(milliseconds) {
    this.calm();
    this.up.hold();
    this.down.hold();
    this.#stalled = setTimeout(() => this.calm(), milliseconds);
  }

  lag(milliseconds) {
    this.up.lag = milliseconds;
    this.down.lag = milliseconds;
  }

  loseClient(frozen) {
    this.silence();
    if (frozen) {
      this.#server.pause();
    }
    abandon(this.#client, this.#gentle);
  }

  silence() {
    this.calm();
    this.up.lost = true;
    this.down.lost = true;
  }

  calm() {
    clearTimeout(this.#stalled);
    this.up.release();
    this.down.release();
  }
}

/** One direction of a link. */
class Lane {
  #from;
  #to;
  #link;
  #waiting = [];
  #held = false;
  #torn;
  /** How late everything arrives, in milliseconds. */
  lag = 0;
  /** Whether all that comes is dropped. */
  lost = false;

  constructor(from, to, link) {
    this.#from = from;
    this.#to = to;
    this.#link = link;
    from.setNoDelay(true);
    from.on("data", (chunk) => this.#take(chunk));
    from.on("end", () => this.#take(undefined));
    from.on("error", () => this.#fail());
    to.on("drain", () => this.#held || from.resume());
  }

  /** Reads nothing more for now. */
  hold() {
    this.#held = true;
    this.#from.pause();
  }

  /** Forwards what has waited, and everything from now on at once. */
  release() {
    this.#held = false;
    this.lag = 0;
    while (this.#waiting.length > 0) {
      this.#forward(this.#waiting.shift());
    }
    this.#from.resume();
  }

  /** Forwards only a part of what comes next. */
  tear(random) {
    this.#torn = random;
  }

  /** `undefined` is the end. */
  #take(chunk) {
    if (this.lost) {
      return;
    }
    if (this.lag === 0 && this.#waiting.length === 0) {
      this.#forward(chunk);
      return;
    }
    this.#waiting.push(chunk);
    setTimeout(() => {
      if (!this.#held && this.#waiting.length > 0) {
        this.#forward(this.#waiting.shift());
      }
    }, this.lag);
  }

  #forward(chunk) {
    if (this.lost || this.#to.destroyed) {
      return;
    }
    if (chunk === undefined) {
      this.#to.end();
    } else if (this.#torn !== undefined && chunk.length > 1) {
      this.#to.write(chunk.subarray(0, between(this.#torn, 1, chunk.length - 1)));
      // Nothing may follow what is missing, or the stream would be another one.
      this.lost = true;
      this.#link.finish();
    } else if (!this.#to.write(chunk)) {
      this.#from.pause();
    }
  }

  /** A reset goes on to the other side, as it would without a proxy. */
  #fail() {
    if (!this.lost) {
      this.#link.reset();
    }
  }
}

/** Leaves a client with a reset, or with no more than an end. */
function abandon(client, gentle) {
  if (gentle) {
    client.resume().end();
  } else {
    client.resetAndDestroy();
  }
}
