// Starting and stopping a real server for a test; nothing here knows a protocol.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe } from "node:test";

const START_MILLISECONDS = 15_000;
const STOP_MILLISECONDS = 20_000;

/** Runs the same tests against a server with one shard and against one with four. */
export function againstEveryShardCount(title, define, configuration = "") {
  for (const shards of [1, 4]) {
    describe(`${title}, shards = ${shards}`, () => {
      const server = new Server(shards, configuration);
      before(() => server.start());
      after(() => server.stop());
      define(server);
    });
  }
}

export class Server {
  #process;
  #folder;
  #log = "";
  #hubs = 0;

  constructor(shards, configuration) {
    this.primaryKey = randomBytes(32).toString("base64");
    this.secondaryKey = randomBytes(32).toString("base64");
    this.configuration = [
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
    const file = join(this.#folder, "hubwire.toml");
    await writeFile(file, this.configuration);
    this.#process = spawn(binary, ["serve", "--config", file], {
      cwd: this.#folder,
      env: environment(),
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.port = await this.#waitForPort();
    this.endpoint = `http://127.0.0.1:${this.port}`;
  }

  /** Asks it to stop and expects a clean exit. */
  async stop() {
    const child = this.#process;
    if (child === undefined) {
      return;
    }
    const exited =
      child.exitCode !== null || child.signalCode !== null
        ? Promise.resolve()
        : new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MILLISECONDS);
    await exited;
    clearTimeout(timer);
    await rm(this.#folder, { recursive: true, force: true });
    assert.equal(child.signalCode, null, `the server did not stop in time\n${this.#log}`);
    assert.equal(child.exitCode, 0, `the server did not exit cleanly\n${this.#log}`);
  }

  /** A hub that no other test uses. */
  newHub() {
    this.#hubs += 1;
    return `hub${this.#hubs}`;
  }

  connectionString(key = this.primaryKey) {
    return `Endpoint=${this.endpoint};AccessKey=${key};Version=1.0;`;
  }

  /** A client URL with a token of our own making; `query` adds parameters. */
  clientUrl(hub, { userId, roles, groups, query = {} } = {}) {
    const path = `/client/hubs/${hub}`;
    const token = this.token(`${this.endpoint}${path}`, {
      sub: userId,
      role: roles,
      "webpubsub.group": groups,
    });
    const parameters = new URLSearchParams({ ...query, access_token: token });
    return `ws://127.0.0.1:${this.port}${path}?${parameters}`;
  }

  /** An HS256 token for an audience. */
  token(audience, claims = {}, key = this.primaryKey) {
    const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const payload = { aud: audience, exp: Math.floor(Date.now() / 1000) + 300, ...claims };
    const text = `${encode({ alg: "HS256", typ: "JWT" })}.${encode(payload)}`;
    return `${text}.${createHmac("sha256", key).update(text).digest("base64url")}`;
  }

  /** The port that the start-up screen names. */
  #waitForPort() {
    const child = this.#process;
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
        const endpoint = /endpoint\W+https?:\/\/[^\s/;]*:(\d+)\b(?=\D)/i.exec(this.#log);
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

/** Ours, less what the server would read as its configuration. */
function environment() {
  const others = Object.entries(process.env).filter(([name]) => !name.startsWith("HUBWIRE_"));
  return Object.fromEntries(others);
}
