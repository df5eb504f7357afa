/**
 * Builds a component: `node sdk/build.mjs src/tickets.js build/tickets.wasm`, from the project's folder.
 *
 * Reads the entry, what it imports by relative paths, and `wit/` beside this file. The component connects the SDK to the imports of
 * the contract before anything is called; in unit tests the double does that.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";

const INTERFACES = ["blobs", "cache", "dns", "files", "http", "log", "secrets", "signing"];

async function toolchain() {
  try {
    return await import("componentize-qjs");
  } catch (error) {
    if (error.code !== "ERR_MODULE_NOT_FOUND") throw error;
    console.error("componentize-qjs is not installed in this project; install it with `npm install`");
    process.exit(69);
  }
}

const [entry, output] = process.argv.slice(2);
if (!entry || !output) {
  console.error("usage: node sdk/build.mjs ENTRY.js OUTPUT.wasm");
  process.exit(64);
}
const sdk = dirname(fileURLToPath(import.meta.url));
const root = process.cwd();
// The source below has no file of its own: it stands where this one does.
const specifier = (path) => JSON.stringify(`./${relative(sdk, path).split(sep).join("/")}`);
const source = [
  ...INTERFACES.map((it) => `import * as ${it} from "trueup:provider/${it}@0.1.0";`),
  `import { connect } from ${specifier(join(sdk, "trueup", "host.js"))};`,
  `export * from ${specifier(resolve(entry))};`,
  `connect({ ${INTERFACES.join(", ")} });`,
].join("\n");
const { componentize } = await toolchain();
const options = {
  witPath: join(sdk, "wit", "provider.wit"),
  world: "provider-full",
  jsSource: source,
  jsPath: fileURLToPath(import.meta.url),
  moduleRoot: root,
  sync: true,
  stubWasi: true,
};
try {
  const { component } = await componentize(options);
  await mkdir(dirname(resolve(output)), { recursive: true });
  await writeFile(output, component);
} catch (error) {
  // What is wrong with the source, with its line; where this script stood says nothing more.
  console.error(error.message.replace(/^: /, "").trimEnd());
  process.exit(1);
}
