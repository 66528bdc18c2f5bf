// Builds the page into `server/web`, or into the folder that is named.
import { copyFile, mkdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { argv } from "node:process";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const folder = argv[2] ?? join(here, "../../server/web");

await mkdir(folder, { recursive: true });
await build({
  absWorkingDir: here,
  entryPoints: { page: "src/main.tsx" },
  outdir: folder,
  bundle: true,
  minify: true,
  format: "iife",
  target: ["es2022", "chrome109", "firefox115", "safari16.4"],
  charset: "utf8",
  footer: { js: await licences(["preact", "@preact/signals"]) },
  logLevel: "warning",
});
for (const name of ["index.html", "icon.svg"]) await copyFile(join(here, "static", name), join(folder, name));

/** Returns a comment with the licences of packages that are in the script. */
async function licences(names) {
  const texts = names.map((name) => readFile(join(here, "node_modules", name, "LICENSE"), "utf8"));
  return `/*! ${names.join(", ")}\n\n${(await Promise.all(texts)).join("\n")}*/`;
}
