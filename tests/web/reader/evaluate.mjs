/**
 * Call one function of the reader for each case of a list, and print results and errors as JSON:
 * `node evaluate.mjs FUNCTION CASES.json`.
 */

import { readFileSync } from "node:fs";
import { VaedgeError } from "../../../runtime/vaedge/web/errors.js";
import { checkGraph, signature } from "../../../runtime/vaedge/web/graphs.js";
import { readManifest } from "../../../runtime/vaedge/web/manifest.js";
import { readNpz } from "../../../runtime/vaedge/web/npz.js";
import { asBatch, asCondition, asCount, asSeed } from "../../../runtime/vaedge/web/validation.js";

const bytesOf = (text) => new Uint8Array(Buffer.from(text, "base64"));
const float32 = ({ bytes, shape }) => ({ data: new Float32Array(bytesOf(bytes).buffer), shape });
const FUNCTIONS = {
  manifest: ({ bytes }) => readManifest(bytesOf(bytes), "bundle"),
  graph: ({ bytes, variant }) => checkGraph(bytesOf(bytes), variant, "graph"),
  signature: ({ bytes }) => signature(bytesOf(bytes)),
  npz: async ({ bytes }) => [...(await readNpz(bytesOf(bytes))).keys()],
  batch: ({ x, shape, range }) => asBatch(float32(x), "x", shape, range).shape,
  pixels: ({ bytes }) => [...asBatch(bytesOf(bytes), "x", [1], [0, 1], "uint8").data],
  condition: ({ value, condition, n }) => {
    const { data, shape } = asCondition(value, { name: "y", ...condition }, n);
    return { data: Array.from(data, Number), shape };
  },
  count: ({ value, minimum, maximum }) => asCount(value, "k", minimum, maximum),
  seed: ({ value }) => String(asSeed(value)),
};

const [name, path] = process.argv.slice(2);
const outcomes = [];
for (const argument of JSON.parse(readFileSync(path, "utf-8"))) {
  try {
    outcomes.push({ result: (await FUNCTIONS[name](argument)) ?? null });
  } catch (error) {
    if (!(error instanceof VaedgeError)) throw error;
    outcomes.push({ error: error.message });
  }
}
console.log(JSON.stringify(outcomes));
