// `System.Net.WebSockets.ClientWebSocket`, by mono's compiler and runtime.

import { copyFile, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { conforms } from "../javascript/support/conformance.mjs";
import { run } from "../javascript/support/programs.mjs";

const SOURCE = fileURLToPath(new URL("Conformance.cs", import.meta.url));

conforms(
  "ClientWebSocket",
  async (folder) => {
    const program = join(folder, "conformance.exe");
    await run("mcs", ["-warnaserror", `-out:${program}`, SOURCE]);
    return ["mono", program];
  },
  // Below a home of its own, so that the user's store stays as it is.
  async (authority, folder) => {
    const store = join(folder, ".config/.mono/new-certs/Trust");
    const hash = await run("openssl", ["x509", "-noout", "-hash", "-in", authority]);
    await mkdir(store, { recursive: true });
    await copyFile(authority, join(store, `${hash.trim()}.0`));
    return { HOME: folder };
  },
);
