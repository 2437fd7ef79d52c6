// `@azure/web-pubsub-client` with its defaults, over a network that breaks all the time.

import { describe, test } from "node:test";
import { FIRST_SEED, RUN_LIMIT, RUN_SECONDS, disturbed } from "../support/disturbed.mjs";
import { Server } from "../support/server.mjs";

const seconds = (count) => new Promise((resolve) => setTimeout(resolve, count * 1000));

// They mostly wait, so they run at the same time.
describe("@azure/web-pubsub-client, reliable", { concurrency: true }, () => {
  for (const [index, shards] of [1, 4].entries()) {
    test(`nothing is lost when connections break, shards = ${shards}`, RUN_LIMIT, (t) =>
      running({ shards }, (server) =>
        disturbed(t, server, {
          seed: FIRST_SEED + index,
          meanwhile: () => seconds(RUN_SECONDS),
        }),
      ),
    );
  }

  const RESTARTS = [
    [1, 1],
    [1, 4],
    [4, 3],
  ];
  for (const [index, [before, after]] of RESTARTS.entries()) {
    test(`nothing is lost when the server restarts, shards = ${before}, ${after}`, RUN_LIMIT, (t) =>
      running({ shards: before, keepsSessions: true }, (server) =>
        disturbed(t, server, {
          seed: FIRST_SEED + 10 + index,
          gaps: { shortestGap: 200, longestGap: 1500 },
          meanwhile: async () => {
            await seconds(RUN_SECONDS / 3);
            await server.restart(after);
            await seconds(RUN_SECONDS / 3);
            await server.restart(before);
            await seconds(RUN_SECONDS / 3);
          },
        }),
      ),
    );
  }
});

async function running(options, use) {
  const server = new Server(options);
  await server.start();
  try {
    await use(server);
  } finally {
    await server.stop();
  }
}
