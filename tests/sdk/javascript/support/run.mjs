// `npm test`: has the server make its development authority, then runs the tests in a process that
// trusts it, in the way that the start-up screen tells. Node reads this variable only at its start.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Server } from "./server.mjs";

const folder = await mkdtemp(join(tmpdir(), "hubwire-tls-"));
try {
  process.env.DEVELOPMENT_TLS = folder;
  const server = new Server({ shards: 1, scheme: "https" });
  await server.start();
  await server.stop();
  const told = /^ *CA=(\S+)\n(?: *export .*\n)*? *export NODE_EXTRA_CA_CERTS=\$CA\b/m.exec(server.log);
  assert.ok(told, `the server does not say how Node trusts it\n${server.log}`);
  // It holds for a whole file too, the longest of which runs for as long as it is told to.
  const timeout = 300_000 + 1000 * Number(process.env.FAULT_SECONDS ?? 0);
  const options = [`--test-timeout=${timeout}`, ...process.argv.slice(2)];
  const { status } = spawnSync(process.execPath, options, {
    env: { ...process.env, NODE_EXTRA_CA_CERTS: told[1] },
    stdio: "inherit",
  });
  process.exitCode = status ?? 1;
} finally {
  await rm(folder, { recursive: true, force: true });
}
