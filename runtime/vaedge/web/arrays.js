/**
 * Converts the arguments of public functions into arrays.
 *
 * @typedef {Float32Array | Float64Array | Int8Array | Uint8Array | Uint8ClampedArray | Int16Array | Uint16Array
 *   | Int32Array | Uint32Array | BigInt64Array | BigUint64Array} TypedArray
 *
 * @typedef {object} ArrayLike The elements in C order.
 * @property {TypedArray | unknown[]} data
 * @property {readonly number[]} shape
 * @property {boolean} isFlat Whether the elements came as a typed array without a shape.
 * @property {string} dtype Element type, such as "float32" of a typed array. Numbers of nested arrays are "int64" or
 *   "float64"; other values are "string", "boolean" or "object".
 */

import { InputError } from "./errors.js";
import { describe, tuple, withCommas } from "./messages.js";

const MAX_AXES = 32;

/**
 * Convert `{data, shape}`, a typed array, nested arrays, or one value.
 *
 * @param {unknown} value
 * @param {string} name Name of the argument, for the error.
 * @returns {ArrayLike}
 * @throws {InputError} The value cannot be converted.
 */
export function asArray(value, name) {
  if (isTypedArray(value)) return { data: value, shape: [value.length], isFlat: true, dtype: typeName(value) };
  if (typeof value === "object" && value !== null && "data" in value && "shape" in value) {
    return withShape(value.data, value.shape, name);
  }
  const shape = shapeOf(value, name);
  /** @type {unknown[]} */
  const data = [];
  flatten(value, shape, 0, data, name);
  return { data, shape, isFlat: false, dtype: typeOf(data) };
}

/**
 * Return whether an array has the given shape. A flat array only needs the right number of elements.
 *
 * @param {ArrayLike} array
 * @param {readonly number[]} shape
 */
export function hasShape(array, shape) {
  return array.isFlat ? array.data.length === elementsOf(shape) : isEqual(array.shape, shape);
}

/**
 * @param {readonly number[]} shape
 * @param {readonly number[]} other
 */
export const isEqual = (shape, other) =>
  shape.length === other.length && shape.every((size, axis) => size === other[axis]);

/**
 * Return the number of elements of an array.
 *
 * @param {readonly number[]} shape
 */
export const elementsOf = (shape) => shape.reduce((product, size) => product * size, 1);

/**
 * Return the smallest and the largest value.
 *
 * @param {{[index: number]: number | bigint, length: number}} values At least one value.
 * @returns {[number | bigint, number | bigint]}
 */
export function limitsOf(values) {
  let [smallest, largest] = [values[0], values[0]];
  for (let index = 1; index < values.length; index += 1) {
    if (values[index] < smallest) smallest = values[index];
    if (values[index] > largest) largest = values[index];
  }
  return [smallest, largest];
}

/**
 * Repeat one value for each of n examples.
 *
 * @template {Float32Array | BigInt64Array} T
 * @param {T} value
 * @param {number} n
 * @returns {T}
 */
export function repeated(value, n) {
  const Type = /** @type {new (length: number) => T} */ (value.constructor);
  const result = new Type(n * value.length);
  for (let row = 0; row < n; row += 1) result.set(/** @type {any} */ (value), row * value.length);
  return result;
}

/**
 * @param {unknown} data
 * @param {unknown} shape
 * @param {string} name
 * @returns {ArrayLike}
 */
function withShape(data, shape, name) {
  if (!isTypedArray(data)) throw new InputError(`${name}.data is ${describe(data)}; expected a typed array`);
  if (!Array.isArray(shape) || !shape.every((size) => Number.isSafeInteger(size) && size >= 0)) {
    throw new InputError(`${name}.shape must be an array of non-negative integers`);
  }
  if (elementsOf(shape) !== data.length) {
    throw new InputError(
      `${name}.data has ${withCommas(data.length)} elements, which do not match ${name}.shape ${tuple(shape)}`,
    );
  }
  return { data, shape, isFlat: false, dtype: typeName(data) };
}

/**
 * Return the shape of nested arrays. The function follows only the first entry of each array.
 *
 * @param {unknown} value
 * @param {string} name
 */
function shapeOf(value, name) {
  /** @type {number[]} */
  const shape = [];
  for (let first = value; Array.isArray(first); first = first[0]) {
    if (shape.length === MAX_AXES) throw new InputError(`${name} has more than ${MAX_AXES} axes`);
    shape.push(first.length);
  }
  return shape;
}

/**
 * Append the values of nested arrays to `data`.
 *
 * @param {unknown} value
 * @param {readonly number[]} shape
 * @param {number} axis
 * @param {unknown[]} data
 * @param {string} name
 */
function flatten(value, shape, axis, data, name) {
  if (Array.isArray(value) ? value.length !== shape[axis] : axis < shape.length) {
    throw new InputError(`${name} cannot be converted to an array: its rows have different lengths`);
  }
  if (Array.isArray(value)) for (const entry of value) flatten(entry, shape, axis + 1, data, name);
  else data.push(value);
}

/** @param {unknown[]} data */
function typeOf(data) {
  const types = new Set(data.map((value) => typeof value));
  if (types.size === 0) return "float64"; // as numpy does for an empty array
  if (data.every((value) => typeof value === "bigint" || Number.isInteger(value))) return "int64";
  const [first] = types;
  return types.size > 1 ? "object" : first === "number" ? "float64" : first;
}

/**
 * @param {unknown} value
 * @returns {value is TypedArray}
 */
function isTypedArray(value) {
  return ArrayBuffer.isView(value) && !(value instanceof DataView);
}

/**
 * Return the element type of a typed array as numpy names it.
 *
 * @param {TypedArray} array
 */
function typeName(array) {
  const name = array[Symbol.toStringTag].replace("Array", "").toLowerCase();
  return { uint8clamped: "uint8", bigint64: "int64", biguint64: "uint64" }[name] ?? name;
}
