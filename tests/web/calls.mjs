/** Make the calls of a JSON file: `node calls.mjs FILE`. The results are printed as JSON, one list per bundle. */

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

import { load } from "../../runtime/vaedge/web/vaedge.js";

/** Convert a value from JSON: a list under "array" becomes a batch. */
function decode(value) {
  if (Array.isArray(value)) return value.map(decode);
  if (value === null || typeof value !== "object") return value;
  if (value.array)
    return { data: new { float32: Float32Array, uint8: Uint8Array }[value.dtype](value.array), shape: value.shape };
  return Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, decode(entry)]));
}

/** Convert a result for JSON. */
function encode(value) {
  if (ArrayBuffer.isView(value)) return Array.from(value, (entry) => (Number.isFinite(entry) ? entry : String(entry)));
  if (Array.isArray(value)) return value.map(encode);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, encode(entry)]));
}

const results = [];
for (const { bundle, variant, calls } of JSON.parse(readFileSync(process.argv[2], "utf8"))) {
  const files = Object.fromEntries(
    readdirSync(bundle)
      .filter((name) => !name.endsWith(".png"))
      .map((name) => [name, readFileSync(join(bundle, name))]),
  );
  const found = [];
  let vae;
  try {
    vae = await load(files, { variant });
  } catch (error) {
    results.push({ error: `${error.name}: ${error.message}` });
    continue;
  }
  for (const [method, ...args] of calls) {
    try {
      found.push(encode(await vae[method](...args.map(decode))));
    } catch (error) {
      found.push({ error: `${error.name}: ${error.message}` });
    }
  }
  await vae.close();
  results.push(found);
}
process.stdout.write(JSON.stringify(results));
