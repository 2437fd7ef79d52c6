// Every program in the documentation, run as it is printed, against a server that runs as the
// README starts it. `SNIPPETS` names the languages to run; without it, all of them.

import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { EXPECTED } from "./expected.mjs";
import { LANGUAGES, documented } from "./markdown.mjs";
import { Program, run } from "../javascript/support/programs.mjs";
import { Server } from "../javascript/support/server.mjs";

const NODE_MODULES = fileURLToPath(new URL("../javascript/node_modules", import.meta.url));

/** Blocks that set the environment of the programs on their page, in the order of reading. */
const ENVIRONMENTS = {
  "README.md": ["environment"],
  "docs/clients.md": ["environment", "client-url"],
  "docs/service.md": ["environment", "connection-string"],
  "docs/streams.md": ["environment", "client-url"],
};

const chosen = process.env.SNIPPETS?.split(",") ?? [...LANGUAGES, "sh"];
const all = await documented();
const settings = new Set(Object.values(ENVIRONMENTS).flat());
const programs = all.filter(({ name }) => name !== undefined && !settings.has(name));

test("every program has a name of its own and is run", () => {
  const where = ({ file, line }) => `${file}:${line}`;
  const unnamed = all.filter(({ name, language }) => !name && LANGUAGES.includes(language));
  assert.deepEqual(unnamed.map(where), [], "no `<!-- snippet: NAME -->` before it");
  const names = programs.map(({ name }) => name).sort();
  assert.deepEqual(names, Object.keys(EXPECTED).sort(), "documented, and expected by the tests");
});

describe("documentation", () => {
  const server = new Server();
  const environments = {};
  let folder;

  before(async () => {
    await server.start();
    folder = await mkdtemp(join(tmpdir(), "hubwire-snippets-"));
    await mkdir(join(folder, "target/release"), { recursive: true });
    await symlink(process.env.HUBWIRE_BIN, join(folder, "target/release/hubwire"));
    await symlink(NODE_MODULES, join(folder, "node_modules"));
    for (const [file, names] of Object.entries(ENVIRONMENTS)) {
      environments[file] = await environment(names);
    }
    // The watching clients come with the same key as the programs.
    server.key = /AccessKey=([^;]+)/.exec(environments["README.md"].CONNECTION_STRING)[1];
  });
  after(async () => {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  });

  for (const { file, name, language, code } of programs) {
    if (chosen.includes(language)) {
      test(`${file}: ${name}`, async () => {
        const expected = EXPECTED[name];
        const options = { cwd: folder, env: environments[file] };
        const act = async () => {
          const program = await START[language](name, code, options);
          try {
            return await observe(program, expected);
          } finally {
            await program.stop();
          }
        };
        await (expected.watch ? expected.watch(server, act) : act());
      });
    }
  }

  /** What the shell has after these blocks, which reach this server by its address alone. */
  async function environment(names) {
    const codes = names.map((name) => all.find((block) => block.name === name).code);
    const script = ["set -eu", ...codes, "env -0"].join("\n");
    const env = { HUBWIRE_LISTEN: `127.0.0.1:${server.port}` };
    const output = await run("bash", ["-c", script], { cwd: folder, env });
    return Object.fromEntries(
      output.split("\0").filter(Boolean).map((entry) => {
        const [variable, ...value] = entry.split("=");
        return [variable, value.join("=")];
      }),
    );
  }
});

async function observe(program, { prints = [], type, enter, click, ends }) {
  if (type) {
    const [after, line] = type;
    await program.prints(after);
    program.type(line);
  }
  if (click) {
    await program.prints(click);
    await program.click();
  }
  for (const texts of prints) {
    await program.prints(...texts);
  }
  if (enter) {
    program.enter();
  }
  return ends ? program.ends() : program.output;
}

/** How a block becomes a running program. */
const START = {
  async js(name, code, options) {
    await writeFile(join(options.cwd, `${name}.mjs`), code);
    return new Program(process.execPath, [`${name}.mjs`], options);
  },
  async python(name, code, options) {
    await writeFile(join(options.cwd, `${name}.py`), code);
    return new Program(process.env.PYTHON ?? "python3", [`${name}.py`], options);
  },
  async java(_, code, options) {
    const file = `${mainClass(code)}.java`;
    await writeFile(join(options.cwd, file), code);
    return new Program("java", [file], options);
  },
  async csharp(_, code, options) {
    const program = mainClass(code);
    await writeFile(join(options.cwd, `${program}.cs`), code);
    await run("mcs", [`${program}.cs`], options);
    return new Program("mono", [`${program}.exe`], options);
  },
  async sh(_, code, options) {
    return new Program("bash", ["-euc", code], options);
  },
  async html(name, code, options) {
    const file = join(options.cwd, `${name}.html`);
    await writeFile(file, code);
    return Page.open(`${pathToFileURL(file)}#${options.env.CLIENT_URL}`);
  },
};

function mainClass(code) {
  return /^class (\w+)/m.exec(code)[1];
}

/** A page in the browser, seen as a program: what it prints is its text. */
class Page {
  #browser;
  #page;

  static async open(address) {
    const { launch } = await import("../browser/support/chromium.mjs");
    const opened = new Page();
    opened.#browser = await launch();
    opened.#page = await opened.#browser.newPage();
    await opened.#page.goto(address);
    return opened;
  }

  async click() {
    await this.#page.getByRole("button").click();
  }

  async prints(...texts) {
    await this.#page.waitForFunction(
      (wanted) => {
        let from = 0;
        return wanted.every((text) => {
          const index = document.body.innerText.indexOf(text, from);
          from = index + text.length;
          return index >= 0;
        });
      },
      texts,
      { timeout: 30_000 },
    );
  }

  async stop() {
    await this.#browser.close();
  }
}
