// The proxy as a program for tests in other languages: `node main.mjs TARGET_PORT [gentle]`. It
// prints its port and then one line for each line that it reads, both JSON. It ends when its input
// does.

import { createInterface } from "node:readline";
import { FaultProxy } from "./proxy.mjs";

const COMMANDS = {
  inflict: ({ fault }) => proxy.inflict(fault),
  disturb: (schedule) => proxy.disturb(schedule),
  calm: () => proxy.calm(),
  refuse: () => proxy.refuse(),
  accept: () => proxy.accept(),
  look: () => {},
};

const [target, gentle] = process.argv.slice(2);
const proxy = await new FaultProxy(Number(target), { gentle: gentle === "gentle" }).start();
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
say({ port: proxy.port });
for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...options } = JSON.parse(line);
  COMMANDS[command](options);
  say({ accepted: proxy.accepted, connected: proxy.connected, counts: proxy.counts });
}
await proxy.stop();
