// The programs that show that a language's own WebSocket works as a client of both kinds.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { EVERY_ROLE } from "./protocol.mjs";
import { Program } from "./programs.mjs";
import { Server, againstEveryShardCount, using } from "./server.mjs";

/**
 * Runs a program against every shard count. `build` is called once with an empty folder and
 * returns the command line. With `trust` it also runs over TLS: that is called with the file of a
 * certificate authority and the folder, and returns the variables that make the program trust it.
 */
export function conforms(language, build, trust) {
  let folder;
  let command;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "hubwire-program-"));
    process.env.DEVELOPMENT_TLS = folder;
    command = await build(folder);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const findsNothingWrong = async (environment) => {
    const [name, ...args] = command;
    const program = new Program(name, args, { env: environment });
    try {
      // Its last line, not its end: Mono can take most of a minute to end after `Main`.
      await program.prints(/\d+ passed, \d+ failed\n/);
      console.log(program.output.trim());
      assert.match(program.output, /\b[1-9]\d* passed, 0 failed\s*$/);
    } finally {
      await program.stop();
    }
  };

  againstEveryShardCount(language, (server) => {
    test("the program finds nothing wrong", () => findsNothingWrong(urls(server)));
  });

  if (trust !== undefined) {
    describe(`${language} over TLS`, () => {
      using(new Server({ shards: 2, scheme: "https" }), (server) => {
        test("the program finds nothing wrong", async () => {
          // Mono checks names alone, no addresses.
          server.endpoint = server.endpoint.replace("127.0.0.1", "localhost");
          const trusting = await trust(join(folder, "dev-tls", "ca.pem"), folder);
          await findsNothingWrong({ ...urls(server), ...trusting });
        });
      });
    });
  }
}

/** What the programs connect to, all in one hub. */
function urls(server) {
  const hub = server.newHub();
  const url = (claims) => server.clientUrl(hub, claims);
  const query = { webpubsub_mode: "sendToGroup", group: "news" };
  return {
    SIMPLE: url(),
    MEMBER: url({ groups: ["news"] }),
    SIMPLE_MEMBER: url({ groups: ["room"] }),
    PUBLISHER: url({ roles: EVERY_ROLE, query }),
    ANN: url({ userId: "ann", roles: EVERY_ROLE }),
    BOB: url({ userId: "bob", roles: EVERY_ROLE }),
    STRANGER: url().split("?")[0],
  };
}
