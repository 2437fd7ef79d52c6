// The code in the documentation: which blocks there are and how they are named.

import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/** Blocks in these languages are programs, so each must have a name and be run. */
export const LANGUAGES = ["js", "html", "python", "csharp", "java"];

/** The blocks of the README and of everything below `docs`. */
export async function documented() {
  const pages = await readdir(join(ROOT, "docs"), { recursive: true });
  const files = ["README.md", ...pages.map((page) => join("docs", page))];
  const found = [];
  for (const file of files.filter((name) => name.endsWith(".md")).sort()) {
    for (const block of blocks(await readFile(join(ROOT, file), "utf8"))) {
      found.push({ file, ...block });
    }
  }
  return found;
}

/**
 * The fenced blocks of a Markdown text. A comment `<!-- snippet: NAME -->` with nothing but blank
 * lines between names the block after it.
 */
export function blocks(text) {
  const found = [];
  let name;
  let open;
  for (const [index, line] of text.split("\n").entries()) {
    if (open !== undefined) {
      if (/^```\s*$/.test(line)) {
        const { lines, ...block } = open;
        found.push({ ...block, code: `${lines.join("\n")}\n` });
        open = undefined;
      } else {
        open.lines.push(line);
      }
      continue;
    }
    const fence = /^```(\w*)\s*$/.exec(line);
    const comment = /^<!-- snippet: ([a-z0-9-]+) -->$/.exec(line);
    if (fence !== null) {
      open = { name, language: fence[1], line: index + 1, lines: [] };
      name = undefined;
    } else if (comment !== null) {
      name = comment[1];
    } else if (line.trim() !== "") {
      name = undefined;
    }
  }
  return found;
}
