/**
 * The inputs and outputs of a graph: those that the manifest requires, and those that the graph declares.
 *
 * @typedef {object} Tensor
 * @property {string} name
 * @property {string} dtype The element type as a text. If the batch axis is missing or has a fixed size, the text
 *   also states this, so that the comparison with the manifest fails.
 * @property {number[]} shape Shape without the batch axis. 0 means that the axis has any size.
 *
 * @typedef {{inputs: Tensor[], outputs: Tensor[]}} Signature Inputs and outputs in their order.
 * @typedef {import("./manifest.js").Manifest} Manifest
 */

import { BundleError } from "./errors.js";
import { shown, tuple } from "./messages.js";
import { readFields, readText } from "./protobuf.js";

// Field numbers of onnx.proto.
const MODEL_GRAPH = 7;
const [GRAPH_INPUT, GRAPH_OUTPUT] = [11, 12];
const [VALUE_NAME, VALUE_TYPE] = [1, 2];
const TYPE_TENSOR = 1;
const [TENSOR_ELEMENT, TENSOR_SHAPE] = [1, 2];
const SHAPE_AXIS = 1;
const [AXIS_SIZE, AXIS_NAME] = [1, 2];

const DTYPES = new Map([
  [1, "float32"],
  [7, "int64"],
]);
const MAX_DESCRIPTION = 450;

/**
 * Read the signature that a serialized model declares.
 *
 * @param {Uint8Array} bytes A model that `checkGraph` has accepted.
 * @returns {Signature}
 * @throws {BundleError} The declaration is malformed.
 */
export function signature(bytes) {
  const [graph] = messages(bytes, MODEL_GRAPH);
  return {
    inputs: messages(graph, GRAPH_INPUT).map(declaredTensor),
    outputs: messages(graph, GRAPH_OUTPUT).map(declaredTensor),
  };
}

/**
 * Throw an error if a graph has other inputs or outputs than the manifest requires.
 *
 * @param {Uint8Array} bytes A model that `checkGraph` has accepted.
 * @param {Manifest} manifest
 * @param {"encoder" | "decoder"} kind
 * @param {string} where Location of the file, for errors.
 * @throws {BundleError} The signatures differ.
 */
export function requireSignature(bytes, manifest, kind, where) {
  let found;
  try {
    found = signature(bytes);
  } catch (error) {
    if (!(error instanceof BundleError)) throw error;
    throw new BundleError(`${where} is refused: ${error.message}`, { cause: error.cause });
  }
  const required = requiredSignature(manifest, kind);
  if (JSON.stringify(found) !== JSON.stringify(required)) {
    throw new BundleError(`${where} has the tensors ${describe(found)}; the manifest requires ${describe(required)}`);
  }
}

/**
 * @param {Manifest} manifest
 * @param {"encoder" | "decoder"} kind
 * @returns {Signature}
 */
function requiredSignature({ conditions, inputShape, latentShape, parameters }, kind) {
  const example = (/** @type {string} */ name) => ({ name, dtype: "float32", shape: [...inputShape] });
  const latent = (/** @type {string} */ name) => ({ name, dtype: "float32", shape: [...latentShape] });
  const further = conditions.map(({ name, dtype, shape }) => ({ name, dtype, shape: [...shape] }));
  if (kind === "encoder") return { inputs: [example("x"), ...further], outputs: [latent("mean"), latent("log_var")] };
  return { inputs: [latent("z"), ...further], outputs: [example("x"), ...parameters.map(example)] };
}

/**
 * @param {Uint8Array} value
 * @returns {Tensor}
 */
function declaredTensor(value) {
  const types = messages(value, VALUE_TYPE).flatMap((type) => messages(type, TYPE_TENSOR));
  const element = types.flatMap((type) => numbers(type, TENSOR_ELEMENT)).at(-1) ?? 0;
  const axes = types.flatMap((type) => messages(type, TENSOR_SHAPE)).flatMap((shape) => messages(shape, SHAPE_AXIS));
  const place = "a name of an input, an output or an axis";
  for (const name of axes.flatMap((axis) => messages(axis, AXIS_NAME))) readText(name, place);
  const name = readText(messages(value, VALUE_NAME).at(-1) ?? value.subarray(0, 0), place);
  const sizes = axes.map((axis) => numbers(axis, AXIS_SIZE).at(0));
  const dtype = DTYPES.get(element) ?? `element type ${element}`;
  const isBatch = sizes.length > 0 && sizes[0] === undefined;
  return {
    name,
    dtype: isBatch ? dtype : `${dtype}, batch of fixed size,`,
    shape: sizes.slice(1).map((size) => size ?? 0),
  };
}

/** @param {Signature} signature */
function describe({ inputs, outputs }) {
  const list = (/** @type {Tensor[]} */ tensors) =>
    tensors.map(({ name, dtype, shape }) => `${name} ${dtype} ${tuple(shape)}`).join(", ");
  return shown(`${list(inputs)} -> ${list(outputs)}`, MAX_DESCRIPTION);
}

/**
 * Return the content of each field that has the given number.
 *
 * @param {Uint8Array} message
 * @param {number} wanted
 */
function messages(message, wanted) {
  return [...readFields(message)].filter(({ number }) => number === wanted).map(({ content }) => content);
}

/**
 * Return the value of each field that has the given number.
 *
 * @param {Uint8Array} message
 * @param {number} wanted
 */
function numbers(message, wanted) {
  return [...readFields(message)].filter(({ number }) => number === wanted).map(({ value }) => value);
}
