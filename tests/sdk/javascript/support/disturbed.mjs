// Clients, publishers and application servers whose network breaks all the time, and the check that
// nobody noticed. Everything that is asserted about them together is here; a test says what breaks.

import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { FaultProxy } from "../../fault-proxy/proxy.mjs";
import { EVERY_ROLE, startReliableClient } from "./clients.mjs";
import { serviceFor } from "./service.mjs";
import { Inbox, Source, numbered } from "./traffic.mjs";

/** How long a run lasts; set `FAULT_SECONDS` for a longer one. */
export const RUN_SECONDS = Number(process.env.FAULT_SECONDS ?? 20);

/** Where the schedules of faults begin; set `FAULT_SEED` to what a failed run printed. */
export const FIRST_SEED = Number(process.env.FAULT_SEED ?? randomInt(2 ** 31));

/** Longer than any run may take until all have got everything. */
export const RUN_LIMIT = { timeout: (RUN_SECONDS + 90) * 1000 };

// A receiver must stay below a thousand messages, which is what the server keeps for it, even when
// it is away for some seconds.
const CLIENT_PAUSE_MILLISECONDS = 40;
const SERVICE_PAUSE_MILLISECONDS = 120;
const SETTLE_MILLISECONDS = 60_000;

/** Runs traffic through faults for as long as `meanwhile` takes. */
export async function disturbed(t, server, { seed, gaps = {}, meanwhile }) {
  const hub = server.newHub();
  const proxy = await new FaultProxy(server.port).start();
  try {
    const clients = await populate(server, hub, proxy);
    const stream = await openStream(clients);
    const sources = startSources(clients, stream, serviceFor(server, hub));
    proxy.disturb({ seed, ...gaps });
    await meanwhile();
    const ends = await Promise.allSettled(Object.values(sources).map((source) => source.stop()));
    ends.push(...(await Promise.allSettled([stream.end()])));
    proxy.calm();
    await settle(clients, sources);
    report(t, seed, proxy, clients, sources);
    const wrong = await findings(clients, sources, serviceFor(server, hub));
    wrong.push(...ends.filter(({ reason }) => reason).map(({ reason }) => `${reason}`));
    assert.equal(wrong.length, 0, `seed ${seed} (FAULT_SEED=${FIRST_SEED})\n${wrong.join("\n")}`);
    assert.ok(proxy.accepted > clients.length, "the proxy broke next to nothing");
    clients.forEach(({ client }) => client.stop());
  } finally {
    await proxy.stop();
  }
}

/** Six publishers and four subscribers, all behind the proxy. */
async function populate(server, hub, proxy) {
  const clients = [];
  const start = async (name, groups, expects) => {
    const { endpoint } = proxy;
    const url = server.clientUrl(hub, { userId: name, roles: EVERY_ROLE, endpoint });
    const started = await startReliableClient(url);
    for (const group of groups) {
      await started.client.joinGroup(group);
    }
    const inbox = new Inbox();
    // The end of a stream carries nothing.
    const take = ({ message }) => message.stream?.endOfStream || inbox.take(message);
    started.client.on("group-message", take);
    started.client.on("server-message", take);
    clients.push({ ...started, name, inbox, streamErrors: [], expects: [...expects, "to all"] });
  };
  for (const name of ["careful 1", "careful 2", "default 1", "default 2"]) {
    await start(name, [], []);
  }
  await start("asking", [], ["asking"]);
  await start("streaming", [], []);
  const careful = ["careful 1", "careful 2", "streaming"];
  const byDefault = ["default 1", "default 2"];
  await start("s1", ["careful"], [...careful, "to s1"]);
  await start("s2", ["default"], [...byDefault, "to connection"]);
  await start("s3", ["careful", "default"], [...careful, ...byDefault]);
  await start("s4", ["careful", "default", "service"], [...careful, ...byDefault, "to group"]);
  return clients;
}

/** The SDK sends again what was not acknowledged, and the server knows it by its number. */
async function openStream(clients) {
  const { client, streamErrors } = named(clients, "streaming");
  const stream = await client.openGroupStream("careful");
  stream.onError((error) => streamErrors.push(error));
  return stream;
}

function startSources(clients, stream, service) {
  const client = (name) => named(clients, name);
  const sources = {};
  const start = (name, pause, send) => {
    sources[name] = new Source(name, pause, (n) => send(n, ...numbered(name, n)));
  };
  for (const name of ["careful 1", "careful 2"]) {
    const send = (ackId, ...content) =>
      client(name).client.sendToGroup("careful", ...content, { ackId });
    start(name, CLIENT_PAUSE_MILLISECONDS, withOwnAckId(send));
  }
  for (const name of ["default 1", "default 2"]) {
    const send = (...content) => client(name).client.sendToGroup("default", ...content);
    start(name, CLIENT_PAUSE_MILLISECONDS, withChosenAckIds(send));
  }
  // The built-in event handler sends the same back.
  const ask = (ackId, ...content) =>
    client("asking").client.sendEvent("echo", ...content, { ackId });
  start("asking", CLIENT_PAUSE_MILLISECONDS, withOwnAckId(ask));

  start("streaming", CLIENT_PAUSE_MILLISECONDS, async (_, ...content) => {
    await stream.write(...content);
    return 1;
  });

  const connectionId = client("s2").connectionId;
  const requests = {
    "to all": (...message) => service.sendToAll(...message),
    "to group": (...message) => service.group("service").sendToAll(...message),
    "to s1": (...message) => service.sendToUser("s1", ...message),
    "to connection": (...message) => service.sendToConnection(connectionId, ...message),
  };
  for (const [name, request] of Object.entries(requests)) {
    start(name, SERVICE_PAUSE_MILLISECONDS, overRest(request));
  }
  return sources;
}

/** The application chooses the ack id and keeps it, so that every message counts once. */
function withOwnAckId(send) {
  return async (n, ...content) => {
    while (!(await succeeds(() => send(n, ...content)))) {
      // The SDK has waited between its own attempts.
    }
    return 1;
  };
}

/** The SDK takes a new ack id for every attempt, so that the ids tell how many there were. */
function withChosenAckIds(send) {
  let last = 0;
  return async (n, ...content) => {
    let result;
    while (!(await succeeds(async () => (result = await send(...content))))) {
      // As above.
    }
    const attempts = result.ackId - last;
    last = result.ackId;
    return attempts;
  };
}

/** Whether a request of a client got through. A refusal is not for trying again. */
async function succeeds(request) {
  try {
    await request();
    return true;
  } catch (error) {
    if (error.name !== "SendMessageError" || error.errorDetail !== undefined) {
      throw error;
    }
    return false;
  }
}

/** Sends over REST until it succeeds. Who was not even listening has not sent anything. */
function overRest(request) {
  return async (n, data, dataType) => {
    const options = dataType === "text" ? { contentType: "text/plain" } : {};
    for (let attempts = 1; ; ) {
      try {
        await request(data, options);
        return attempts;
      } catch (error) {
        attempts += error.code === "ECONNREFUSED" ? 0 : 1;
        if (error.statusCode !== undefined && error.statusCode !== 503) {
          throw error;
        }
      }
      await new Promise((resolve) => setTimeout(resolve, SERVICE_PAUSE_MILLISECONDS));
    }
  };
}

/** Waits until everybody has the last message of everything; what is missing is reported later. */
async function settle(clients, sources) {
  const deadline = Date.now() + SETTLE_MILLISECONDS;
  const waiting = ({ inbox, expects }) => !expects.every((name) => inbox.hasLastOf(sources[name]));
  while (clients.some(waiting) && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function report(t, seed, proxy, clients, sources) {
  const sent = Object.values(sources).reduce((sum, source) => sum + source.sent, 0);
  const repeats = Object.values(sources).reduce((sum, source) => sum + source.repeats, 0);
  const duplicates = clients.reduce((sum, { inbox }) => sum + inbox.duplicates, 0);
  const faults = Object.entries(proxy.counts).map(([name, count]) => `${count} ${name}`);
  t.diagnostic(`seed ${seed}: ${faults.join(", ")}`);
  t.diagnostic(
    `${clients.length} clients, ${proxy.accepted} connections, ${sent} messages, ` +
      `${repeats} sent again under a new id, ${duplicates} received twice because of that`,
  );
}

function named(clients, name) {
  return clients.find((client) => client.name === name);
}

/** What somebody noticed, in lines for a person. */
async function findings(clients, sources, service) {
  const lines = [];
  for (const { name, connectionId, inbox, expects, streamErrors, ...client } of clients) {
    const { connected, disconnected, stopped } = client;
    const say = (line) => lines.push(`${name}: ${line}`);
    for (const expected of expects) {
      inbox.differencesFrom(sources[expected]).forEach(say);
    }
    // The first `connected` was taken at the start.
    if (connected.count + disconnected.count + stopped.count > 0) {
      say(`connected ${connected.count} times more, disconnected ${disconnected.count} times`);
    }
    // If the confirmation of an end was lost, the SDK ends the stream once more.
    for (const error of streamErrors.filter(({ name }) => name !== "StreamNotFound")) {
      say(`its stream was closed: ${error.name} ${error.message}`);
    }
    if (!(await service.connectionExists(connectionId))) {
      say(`connection ${connectionId} is gone`);
    }
  }
  return lines;
}
