/** The state of the page at the start, from the fragment of the address or from the first example. */

import { elementsOf } from "../arrays.js";
import { MAX_LATENT } from "../validation.js";
import { exampleState } from "./analysis.js";
import { readFragment } from "./fragment.js";
import { fromBytes } from "./image_input.js";

/**
 * @typedef {import("./store.js").State} State
 * @typedef {import("./model.js").Model} Model
 * @typedef {import("./views.js").Kind} Kind
 */

/**
 * Return the state of a page whose address has no fragment: the first example, and the seed 0.
 *
 * @param {Model} model
 * @param {Kind} kind
 * @returns {State}
 */
export function initialState(model, kind) {
  return {
    variant: model.vae.variant,
    seed: "0",
    z: new Float32Array(model.latents),
    pad: [model.order[0], model.order[Math.min(1, model.latents - 1)]],
    ends: ["r0", `r${Math.min(1, model.examples - 1)}`],
    ...exampleState(model, kind, 0),
  };
}

/**
 * Return the fields of a fragment.
 *
 * @param {string} fragment
 * @param {Model} model
 * @param {Kind} kind
 * @returns {Partial<State>}
 * @throws {Error} A field is not valid for this bundle.
 */
export function restoreState(fragment, model, kind) {
  const state = readFragment(fragment, (bytes) => fromBytes(kind, bytes));
  if (state.source !== undefined && state.source !== "own") {
    const example = exampleNumber(state.source, model);
    require(example !== null, "x", `r0 to r${model.examples - 1}, or the encoded values of an input`);
    Object.assign(state, { ...exampleState(model, kind, Number(example)), ...withoutUndefined(state) });
  }
  const { x, z, seed, pad, ends, conditions } = state;
  if (x) require(x.length === kind.size && x.every(Number.isFinite), "x", `${kind.size} finite numbers`);
  if (z) {
    const isValid = z.length === model.latents && z.every((value) => Math.abs(value) <= MAX_LATENT);
    require(isValid, "z", `${model.latents} numbers of at most ${MAX_LATENT.toExponential()}`);
  }
  if (seed !== undefined) require(/^[0-9]+$/.test(seed), "seed", "a non-negative integer");
  if (pad) {
    const isLatent = (/** @type {number} */ latent) =>
      Number.isInteger(latent) && latent >= 0 && latent < model.latents;
    require(pad.length === 2 && pad.every(isLatent), "pad", `two latents from 0 to ${model.latents - 1}`);
  }
  if (ends) {
    const isEnd = (/** @type {string} */ end) => end === "x" || exampleNumber(end, model) !== null;
    require(ends.length === 2 && ends.every(isEnd), "ends", `two ends, each x or one of r0 to r${model.examples - 1}`);
  }
  if (conditions) requireConditions(conditions, model);
  return state;
}

/**
 * @param {Record<string, number[]>} values
 * @param {Model} model
 */
function requireConditions(values, model) {
  const names = model.conditions.map(({ name }) => name);
  require(Object.keys(values).sort().join() === names.sort().join(), "conditions", names.join(", ") || "no conditions");
  for (const { name, shape, classes, dtype } of model.conditions) {
    const isValid = (/** @type {number} */ value) =>
      dtype === "int64" ? Number.isInteger(value) && value >= 0 && value < classes.length : Number.isFinite(value);
    const expected = dtype === "int64" ? `classes from 0 to ${classes.length - 1}` : "finite numbers";
    const isComplete = values[name].length === elementsOf(shape);
    require(isComplete && values[name].every(isValid), `condition.${name}`, `${elementsOf(shape)} ${expected}`);
  }
}

/**
 * Return the number in a text such as "r0" or "r1", which names an example. Return null for any other text.
 *
 * @param {string} text
 * @param {Model} model
 */
function exampleNumber(text, model) {
  const number = /^r([0-9]{1,2})$/.exec(text)?.[1];
  return number !== undefined && Number(number) < model.examples ? Number(number) : null;
}

/**
 * @param {boolean} isValid
 * @param {string} name
 * @param {string} expected
 */
function require(isValid, name, expected) {
  if (!isValid) throw new Error(`The link has an invalid value of ${name}; expected ${expected}`);
}

/**
 * @template {object} T
 * @param {T} object
 * @returns {T}
 */
function withoutUndefined(object) {
  return /** @type {T} */ (Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)));
}
