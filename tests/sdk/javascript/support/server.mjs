// Starting and stopping a real server for a test; nothing here knows a protocol.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe } from "node:test";
import { environment } from "./programs.mjs";

const START_MILLISECONDS = 15_000;
const STOP_MILLISECONDS = 20_000;

/** The four ways in which an application server may come: a scheme and a key. */
const ACCESSES = [
  { shards: 1, scheme: "http", key: "primary" },
  { shards: 4, scheme: "http", key: "secondary" },
  { shards: 4, scheme: "https", key: "primary" },
  { shards: 1, scheme: "https", key: "secondary" },
];

/**
 * Runs the same tests against a server with one shard and against one with four; `concurrency` of
 * them at the same time, for those that mostly wait.
 */
export function againstEveryShardCount(title, define, { configuration, concurrency = 1 } = {}) {
  for (const shards of [1, 4]) {
    describe(`${title}, shards = ${shards}`, { concurrency }, () =>
      using(new Server({ shards, configuration }), define),
    );
  }
}

/** Runs the same tests over both schemes with both keys; `server.key` is the one to use. */
export function overEveryAccess(title, define, configuration = "") {
  for (const { shards, scheme, key } of ACCESSES) {
    const server = new Server({ shards, configuration, scheme });
    server.key = key === "primary" ? server.primaryKey : server.secondaryKey;
    describe(`${title}, ${scheme}, ${key} key, shards = ${shards}`, () => using(server, define));
  }
}

/** Runs a server around the tests of a suite. */
export function using(server, define) {
  before(() => server.start());
  after(() => server.stop());
  define(server);
}

export class Server {
  #process;
  #folder;
  #keepsSessions;
  #log = "";
  #hubs = 0;

  /**
   * Without `shards` it runs on nothing but its defaults, with the key that everybody knows. With
   * `keepsSessions` it has a folder of its own for what is to survive a restart.
   */
  constructor({ shards, configuration = "", scheme = "http", keepsSessions = false } = {}) {
    this.scheme = scheme;
    this.#keepsSessions = keepsSessions;
    this.primaryKey = randomBytes(32).toString("base64");
    this.secondaryKey = randomBytes(32).toString("base64");
    this.key = this.primaryKey;
    this.configuration = shards && [
      `listen = "127.0.0.1:0"`,
      `shards = ${shards}`,
      `[access_keys]`,
      `primary = "${this.primaryKey}"`,
      `secondary = "${this.secondaryKey}"`,
      configuration,
      `[[hub_defaults.event_handlers]]`,
      `url_template = "builtin:echo"`,
      `user_event_pattern = "*"`,
      "",
    ].join("\n");
  }

  async start() {
    const binary = process.env.HUBWIRE_BIN;
    assert.ok(binary, "HUBWIRE_BIN names the server binary; `cargo xtask test` sets it");
    this.#folder = await mkdtemp(join(tmpdir(), "hubwire-"));
    await this.#launch(binary, await this.#options());
  }

  /** Stops it and starts it again where it was, with another number of shards. */
  async restart(shards) {
    await this.#end();
    const options = await this.#options();
    const changed = ["--listen", `127.0.0.1:${this.port}`, "--shards", `${shards}`];
    await this.#launch(process.env.HUBWIRE_BIN, [...options, ...changed]);
  }

  /** Asks it to stop and expects a clean exit. */
  async stop() {
    if (this.#process !== undefined) {
      await this.#end();
      await rm(this.#folder, { recursive: true, force: true });
    }
  }

  async #launch(binary, options) {
    this.#process = spawn(binary, ["serve", ...options], {
      cwd: this.#folder,
      env: environment(),
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.port = await this.#waitForPort();
    this.endpoint = `${this.scheme}://127.0.0.1:${this.port}`;
  }

  async #end() {
    const child = this.#process;
    const exited =
      child.exitCode !== null || child.signalCode !== null
        ? Promise.resolve()
        : new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MILLISECONDS);
    await exited;
    clearTimeout(timer);
    assert.equal(child.signalCode, null, `the server did not stop in time\n${this.#log}`);
    assert.equal(child.exitCode, 0, `the server did not exit cleanly\n${this.#log}`);
  }

  /** What it has printed so far. */
  get log() {
    return this.#log;
  }

  /** A hub that no other test uses. */
  newHub() {
    this.#hubs += 1;
    return `hub${this.#hubs}`;
  }

  connectionString(key = this.key) {
    return `Endpoint=${this.endpoint};AccessKey=${key};Version=1.0;`;
  }

  /**
   * A client URL with a token of our own making; `query` adds parameters, and `endpoint` is where
   * the client comes in, if that is not the server itself.
   */
  clientUrl(hub, { userId, roles, groups, query = {}, endpoint = this.endpoint } = {}) {
    const path = `/client/hubs/${hub}`;
    const token = this.token(`${endpoint}${path}`, {
      sub: userId,
      role: roles,
      "webpubsub.group": groups,
    });
    const parameters = new URLSearchParams({ ...query, access_token: token });
    return `${endpoint.replace("http", "ws")}${path}?${parameters}`;
  }

  /** An HS256 token for an audience, or for each of several. */
  token(audience, claims = {}, key = this.key) {
    const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const payload = { aud: audience, exp: Math.floor(Date.now() / 1000) + 300, ...claims };
    const text = `${encode({ alg: "HS256", typ: "JWT" })}.${encode(payload)}`;
    return `${text}.${createHmac("sha256", key).update(text).digest("base64url")}`;
  }

  async #options() {
    const options = [];
    if (this.configuration === undefined) {
      options.push("--listen", "127.0.0.1:0");
    } else {
      const file = join(this.#folder, "hubwire.toml");
      await writeFile(file, this.configuration, { mode: 0o600 });
      options.push("--config", file);
    }
    if (this.scheme === "https") {
      const folder = process.env.DEVELOPMENT_TLS;
      assert.ok(folder, "`npm test` makes a development authority and sets DEVELOPMENT_TLS");
      options.push("--dev-tls", "--data-dir", folder);
    }
    if (this.#keepsSessions) {
      options.push("--data-dir", join(this.#folder, "data"));
    }
    return options;
  }

  /** The port that the start-up screen names. */
  #waitForPort() {
    const child = this.#process;
    const earlier = this.#log.length;
    return new Promise((resolve, reject) => {
      const fail = (reason) => {
        clearTimeout(timer);
        child.kill("SIGKILL");
        reject(new Error(`the server did not start: ${reason}\n${this.#log}`));
      };
      const timer = setTimeout(
        () => fail(`no endpoint after ${START_MILLISECONDS} ms`),
        START_MILLISECONDS,
      );
      const read = (chunk) => {
        this.#log += chunk;
        const endpoint = /endpoint\W+https?:\/\/[^\s/;]*:(\d+)\b(?=\D)/i.exec(this.#log.slice(earlier));
        if (endpoint !== null) {
          clearTimeout(timer);
          resolve(Number(endpoint[1]));
        }
      };
      child.stdout.setEncoding("utf8").on("data", read);
      child.stderr.setEncoding("utf8").on("data", read);
      child.once("error", (error) => fail(error.message));
      child.once("exit", (code, signal) => fail(`it ended with ${code ?? signal}`));
    });
  }
}
