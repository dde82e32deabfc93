/** Writes the state of the page to the fragment of the address, and reads it, so that a link shows the same state. */

/** @typedef {import("./store.js").State} State */

/** Maximum number of bytes of an array in the fragment. Larger arrays are left out. */
const MAX_BYTES = 16384;

/**
 * Write the state as a fragment.
 *
 * @param {State} state
 * @param {(x: Float32Array) => Uint8Array | null} asBytes Returns an image as 8-bit values, or null for a table.
 * @returns {string} Text that begins with "#".
 */
export function writeFragment(state, asBytes) {
  const fields = new URLSearchParams({ variant: state.variant, seed: state.seed });
  const bytes = state.source === "own" ? asBytes(state.x) : null;
  if (state.source !== "own") fields.set("x", state.source);
  else if (bytes !== null && bytes.byteLength <= MAX_BYTES) fields.set("x", `u8.${toBase64(bytes)}`);
  else if (bytes === null && state.x.byteLength <= MAX_BYTES) fields.set("x", `f32.${toBase64(state.x)}`);
  if (state.z.byteLength <= MAX_BYTES) fields.set("z", toBase64(state.z));
  for (const [name, values] of Object.entries(state.conditions)) fields.set(`condition.${name}`, values.join("_"));
  fields.set("pad", state.pad.join("_"));
  fields.set("ends", state.ends.join("_"));
  return `#${fields}`;
}

/**
 * Read the fields of a fragment that are present. The caller validates references to examples, latents and classes.
 *
 * @param {string} fragment
 * @param {(bytes: Uint8Array) => Float32Array} fromBytes The inverse of `asBytes`.
 * @returns {Partial<State>}
 */
export function readFragment(fragment, fromBytes) {
  const fields = new URLSearchParams(fragment.replace(/^#/, ""));
  /** @type {Partial<State>} */
  const state = {};
  for (const [name, text] of fields) {
    try {
      if (name === "variant" || name === "seed") state[name] = text;
      else if (name === "z") state.z = toFloats(fromBase64(text));
      else if (name === "x") Object.assign(state, readInput(text, fromBytes));
      else if (name === "pad") state.pad = text.split("_").map(Number);
      else if (name === "ends") state.ends = text.split("_");
      else if (name.startsWith("condition.")) {
        state.conditions = { ...state.conditions, [name.slice(10)]: text.split("_").map(Number) };
      }
    } catch {
      throw new Error(`The link has a damaged value of ${name}; copy the whole link again`);
    }
  }
  return state;
}

/**
 * @param {string} text
 * @param {(bytes: Uint8Array) => Float32Array} fromBytes
 * @returns {Partial<State>}
 */
function readInput(text, fromBytes) {
  if (text.startsWith("u8.")) return { x: fromBytes(fromBase64(text.slice(3))), source: "own" };
  if (text.startsWith("f32.")) return { x: toFloats(fromBase64(text.slice(4))), source: "own" };
  return { source: text };
}

/** @param {Uint8Array} bytes */
const toFloats = (bytes) => new Float32Array(bytes.buffer, 0, bytes.byteLength / 4);

/** @param {Uint8Array | Float32Array} array */
function toBase64(array) {
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** @param {string} text */
function fromBase64(text) {
  const bytes = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(bytes, (character) => character.charCodeAt(0));
}
