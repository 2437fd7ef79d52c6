// `java.net.http` of the JDK.

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { conforms } from "../javascript/support/conformance.mjs";
import { run } from "../javascript/support/programs.mjs";

const SOURCE = fileURLToPath(new URL("Conformance.java", import.meta.url));

conforms(
  "java.net.http",
  () => ["java", SOURCE],
  async (authority, folder) => {
    const store = join(folder, "dev.p12");
    const options = ["-importcert", "-noprompt", "-alias", "hubwire", "-storepass", "changeit"];
    await run("keytool", [...options, "-file", authority, "-keystore", store]);
    const found = `-Djavax.net.ssl.trustStore=${store}`;
    return { JAVA_TOOL_OPTIONS: `${found} -Djavax.net.ssl.trustStorePassword=changeit` };
  },
);
