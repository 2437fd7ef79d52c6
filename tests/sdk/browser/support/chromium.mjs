// The browser: headless, and silent towards the network.

import assert from "node:assert/strict";
import { chromium } from "playwright-core";

// Without these the browser looks for hosts of its maker's on every start.
const QUIET = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export function launch() {
  assert.ok(process.env.CHROMIUM, "CHROMIUM names the browser; `cargo xtask test` sets it");
  return chromium.launch({
    executablePath: process.env.CHROMIUM,
    headless: true,
    args: QUIET,
  });
}
