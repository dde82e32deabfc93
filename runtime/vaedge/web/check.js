/**
 * The self-test of a variant: compare its outputs on this device with the outputs that the exporter stored.
 *
 * @typedef {object} CheckReport
 * @property {boolean} passed Whether every difference is at most 1.
 * @property {Record<string, number>} differences Maximum of |found - expected| / tolerance for each output.
 *
 * @typedef {import("./batches.js").Batch} Batch
 */

import { BundleError } from "./errors.js";
import { readNpz } from "./npz.js";

/** In bundles of format 1, the tolerance is this number times max(1, |expected|). */
const FORMAT_1_TOLERANCE = 1e-4;

/**
 * Run both graphs on all stored inputs as one batch, because the int8 result of an example depends on the rest of its
 * batch.
 *
 * @param {import("./vae.js").VAE} vae
 * @param {import("./loading.js").Model} model
 * @returns {Promise<CheckReport>}
 * @throws {BundleError} The reference is missing or invalid.
 */
export async function checkModel(vae, model) {
  const reference = await readReference(model);
  const conditions = Object.fromEntries(vae.manifest.conditions.map(({ name }) => [name, reference.get(name)]));
  const { mean, logVar } = await vae.encode(reference.get("x"), { conditions });
  const z = reference.get("z");
  const decoded = await vae.decode(z, { conditions });
  const parameters = await vae.parameters(z, { conditions });
  /** @type {Record<string, Batch>} */
  const found = { mean, log_var: logVar, decoded, ...parameters };
  const differences = Object.fromEntries(
    Object.entries(found).map(([name, batch]) => [name, difference(batch, name, reference)]),
  );
  return { passed: Object.values(differences).every((value) => value <= 1), differences };
}

/**
 * Read the reference, and require all arrays that the self-test needs.
 *
 * @param {import("./loading.js").Model} model
 */
async function readReference({ manifest, variant, readFile, where }) {
  const name = manifest.variants[variant].reference;
  if (!name) {
    throw new BundleError(
      `${where} is of format 1 and has no reference for the variant '${variant}': run \`vaedge export --upgrade BUNDLE\``,
    );
  }
  const reference = await readNpz(await readFile(name));
  const outputs = ["mean", "log_var", "decoded", ...manifest.parameters];
  const tolerances = manifest.formatVersion > 1 ? outputs.map((output) => `tolerance.${output}`) : [];
  for (const needed of ["x", "z", ...manifest.conditions.map((entry) => entry.name), ...outputs, ...tolerances]) {
    if (!reference.get(needed)?.data.length) {
      throw new BundleError(`${where}/${name} has no array '${needed}'; export the bundle again`);
    }
  }
  return reference;
}

/**
 * Return the maximum of |found - expected| / tolerance. NaN becomes infinity.
 *
 * @param {Batch} found
 * @param {string} name
 * @param {Map<string, any>} reference
 */
function difference(found, name, reference) {
  const expected = reference.get(name).data;
  if (found.data.length !== expected.length) return Infinity;
  const tolerance = reference.get(`tolerance.${name}`);
  const toleranceAt = tolerance
    ? broadcast(tolerance, found.shape.slice(1))
    : (/** @type {number} */ index) => FORMAT_1_TOLERANCE * Math.max(1, Math.abs(expected[index]));
  let largest = 0;
  for (let index = 0; index < expected.length; index += 1) {
    const value = Math.abs(found.data[index] - expected[index]) / toleranceAt(index);
    if (!(value <= largest)) largest = Number.isNaN(value) ? Infinity : value;
  }
  return largest;
}

/**
 * Broadcast an array to the shape of one example, as numpy does.
 *
 * The result is a function that takes the index of an element of a batch, and returns the array's value for it.
 *
 * @param {{data: Float32Array, shape: number[]}} array
 * @param {number[]} shape Shape of one example.
 */
function broadcast({ data, shape: own }, shape) {
  const aligned = [...Array(Math.max(0, shape.length - own.length)).fill(1), ...own];
  return (/** @type {number} */ index) => {
    let offset = 0;
    let stride = 1;
    let rest = index;
    for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
      const position = rest % shape[axis];
      rest = Math.floor(rest / shape[axis]);
      if (aligned[axis] > 1) offset += position * stride;
      stride *= aligned[axis];
    }
    return data[offset];
  };
}
