// Numbered messages from several sources to several receivers, and what is wrong with what arrived.

/** The n-th message of a source, in one of three data types. */
export function numbered(name, n) {
  const label = JSON.stringify({ name, n });
  switch (n % 3) {
    case 0:
      return [label, "text"];
    case 1:
      return [{ name, n }, "json"];
    default:
      return [new TextEncoder().encode(label).buffer, "binary"];
  }
}

/** Who sent a message and which one it is. */
export function labelOf({ data, dataType }) {
  switch (dataType) {
    case "text":
      return JSON.parse(data);
    case "json":
      return data;
    default:
      return JSON.parse(new TextDecoder().decode(data));
  }
}

/** Sends one message after the other until it is told to stop, and counts the attempts at each. */
export class Source {
  #stopped = false;
  #running;
  /** How many messages it sent. */
  sent = 0;
  /** How often it may have sent each of them, by number; one that is missing here, once. */
  attempts = new Map();

  /** `send(n)` sends until it knows of success and returns the number of attempts. */
  constructor(name, pauseMilliseconds, send) {
    this.name = name;
    this.#running = this.#run(pauseMilliseconds, send);
    // A failure is reported when the source is stopped.
    this.#running.catch(() => {});
  }

  /** Lets the message that is under way be sent. */
  async stop() {
    this.#stopped = true;
    await this.#running;
  }

  /** How often messages were sent again. */
  get repeats() {
    return [...this.attempts.values()].reduce((sum, attempts) => sum + attempts - 1, 0);
  }

  async #run(pauseMilliseconds, send) {
    while (!this.#stopped) {
      const n = this.sent + 1;
      const attempts = await send(n);
      if (attempts > 1) {
        this.attempts.set(n, attempts);
      }
      this.sent = n;
      await new Promise((resolve) => setTimeout(resolve, pauseMilliseconds));
    }
  }
}

/** What one receiver got, by source. */
export class Inbox {
  #numbers = new Map();
  duplicates = 0;

  take(message) {
    const { name, n } = labelOf(message);
    const numbers = this.#numbers.get(name) ?? [];
    this.duplicates += numbers.at(-1) === n ? 1 : 0;
    numbers.push(n);
    this.#numbers.set(name, numbers);
  }

  from({ name }) {
    return this.#numbers.get(name) ?? [];
  }

  hasLastOf(source) {
    return this.from(source).at(-1) === source.sent;
  }

  /** Lines for a person: what is missing, what came too often or out of order. */
  differencesFrom(source) {
    return differences(this.from(source), source).map((line) => `${source.name}: ${line}`);
  }
}

const MOST_LINES = 12;

function differences(numbers, { sent, attempts }) {
  const lines = [];
  let last = 0;
  let copies = 0;
  for (const [at, n] of numbers.entries()) {
    const around = `around it: ${numbers.slice(Math.max(0, at - 3), at + 4)}`;
    if (n === last) {
      copies += 1;
      if (copies > (attempts.get(n) ?? 1)) {
        lines.push(`${n} came ${copies} times and was sent ${attempts.get(n) ?? 1} times`);
      }
      continue;
    }
    if (n < last) {
      lines.push(`${n} came after ${last}; ${around}`);
      continue;
    }
    if (n > last + 1) {
      lines.push(`${range(last + 1, n - 1)} did not come; ${around}`);
    }
    last = n;
    copies = 1;
  }
  if (last < sent) {
    lines.push(`${range(last + 1, sent)} at the end did not come`);
  }
  const more = lines.length - MOST_LINES;
  return more > 0 ? [...lines.slice(0, MOST_LINES), `and ${more} more`] : lines;
}

function range(first, last) {
  return first === last ? `${first}` : `${first} to ${last}`;
}
