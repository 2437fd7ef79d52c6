// Programs in other languages as clients: started, listened to, ended by id.

import { spawn } from "node:child_process";

const DEADLINE_MILLISECONDS = 60_000;

/**
 * A running program. Its input stays open until it is told otherwise, since some read from it in
 * order to wait.
 */
export class Program {
  #child;
  #output = "";
  #changed = () => {};
  #ended;

  constructor(command, args, { cwd, env = {} } = {}) {
    this.name = [command, ...args].join(" ");
    this.#child = spawn(command, args, {
      cwd,
      env: { ...environment(), PYTHONUNBUFFERED: "1", ...env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    const read = (chunk) => {
      this.#output += chunk;
      this.#changed();
    };
    this.#child.stdout.setEncoding("utf8").on("data", read);
    this.#child.stderr.setEncoding("utf8").on("data", read);
    // A program that has ended reads nothing any more.
    this.#child.stdin.on("error", () => {});
    this.#ended = new Promise((resolve) => {
      this.#child.once("error", (error) => resolve(error.message));
      this.#child.once("close", (code, signal) => resolve(code ?? signal));
    });
  }

  /** What it has written so far, to both of its outputs. */
  get output() {
    return this.#output;
  }

  /** Waits until its output has matches of all these, in this order. */
  async prints(...patterns) {
    let end;
    this.#ended.then((code) => {
      end = code;
      this.#changed();
    });
    await this.#within(`print ${patterns.join(", ")}`, (resolve, reject) => {
      this.#changed = () => {
        const missing = firstMissing(this.#output, patterns);
        if (missing === undefined) {
          resolve();
        } else if (end !== undefined) {
          reject(new Error(`it ended with ${end} before it printed ${missing}`));
        }
      };
      this.#changed();
    });
  }

  /** Types a line. */
  type(line) {
    this.#child.stdin.write(`${line}\n`);
  }

  /** Presses Enter, and sends nothing after that. */
  enter() {
    this.#child.stdin.end("\n");
  }

  /** Waits until it ends by itself, and fails unless it ends well. */
  async ends() {
    const code = await this.#within("end", (resolve) => this.#ended.then(resolve));
    if (code !== 0) {
      throw new Error(`${this.name} ended with ${code}\n${this.#output}`);
    }
    return this.#output;
  }

  /** Ends it, if that has not happened yet. */
  async stop() {
    this.#child.kill("SIGKILL");
    await this.#ended;
  }

  async #within(what, wait) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error("it takes too long")), DEADLINE_MILLISECONDS);
    });
    try {
      return await Promise.race([new Promise(wait), late]);
    } catch (error) {
      await this.stop();
      throw new Error(`${this.name} did not ${what}: ${error.message}\n${this.#output}`);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Runs a program to its good end and returns what it wrote. */
export async function run(command, args, options) {
  const program = new Program(command, args, options);
  try {
    return await program.ends();
  } finally {
    await program.stop();
  }
}

/** Ours, less what the server and its commands would read as their configuration. */
export function environment() {
  const others = Object.entries(process.env).filter(([name]) => !name.startsWith("HUBWIRE_"));
  return Object.fromEntries(others);
}

function firstMissing(text, patterns) {
  let rest = text;
  for (const pattern of patterns) {
    const found = typeof pattern === "string" ? literal(rest, pattern) : pattern.exec(rest);
    if (found === null) {
      return pattern;
    }
    rest = rest.slice(found.index + found[0].length);
  }
  return undefined;
}

function literal(text, wanted) {
  const index = text.indexOf(wanted);
  return index < 0 ? null : { index, 0: wanted };
}
