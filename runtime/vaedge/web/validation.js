/**
 * Validates arguments, and throws errors that say what to do.
 *
 * Floating-point numbers of the right shape are accepted if all values are finite and inside the declared range. A
 * Float32Array is used without a copy. Other floating-point arrays and nested arrays are converted.
 *
 * Integer arrays are refused, because the most common mistake is to give pixels in 0..255 where 0..1 is expected. A
 * Uint8Array is accepted only if the manifest has an encoding.
 *
 * @typedef {import("./batches.js").Batch} Batch
 * @typedef {import("./batches.js").Input} Input
 * @typedef {import("./manifest.js").Condition} Condition
 * @typedef {import("./arrays.js").ArrayLike} ArrayLike
 */

import { asArray, elementsOf, hasShape, isEqual, limitsOf, repeated } from "./arrays.js";
import { InputError } from "./errors.js";
import { describe, general, quote, quotedList, tuple, withCommas } from "./messages.js";

/** Maximum absolute value of a latent. No prior has mass at larger values. */
export const MAX_LATENT = 1e6;
/** Maximum number of rows per call. */
const MAX_ROWS = 2 ** 31;
const FLOAT32_MAX = 3.4028234663852886e38;
const FLOATS = ["float16", "float32", "float64"];
/** @type {Map<string, number>} */
const PIXELS = new Map([
  ["uint8", 255],
  ["uint16", 65535],
]);

/**
 * Return `value` as a float32 batch. A Float32Array is not copied.
 *
 * @param {unknown} value `{data, shape: [n, ...shape]}` with n >= 1, a flat typed array of n examples, or nested
 *   arrays.
 * @param {string} name Name of the argument, for the error.
 * @param {readonly number[]} shape Shape of one example.
 * @param {readonly number[] | null} [range] Smallest and largest value allowed; null allows every finite value.
 * @param {string | null} [encoding] "uint8" also accepts uint8 arrays, and divides them by 255 in float32 as in
 *   training; null refuses integers.
 * @returns {Batch}
 * @throws {InputError} `value` is empty, has a wrong shape or type, or holds NaN, infinity or values outside the range.
 */
export function asBatch(value, name, shape, range = null, encoding = null) {
  const array = asArray(value, name);
  const data = asFloat32(array, name, range, encoding);
  const size = elementsOf(shape);
  const n = array.isFlat ? data.length / size : array.shape[0];
  const expected = [n, ...shape];
  if (!Number.isInteger(n) || !hasShape(array, expected)) {
    const hint = axisHint(array.shape, shape);
    throw new InputError(`${name} has shape ${tuple(array.shape)}; expected ${tuple(["n", ...shape])}${hint}`);
  }
  if (!n) throw new InputError(`${name} is an empty batch of shape ${tuple(expected)}; give at least one example`);
  requireWithin(data, name, size, range);
  return { data, shape: expected };
}

/**
 * Return one example as a batch of one.
 *
 * @param {unknown} value `{data, shape}`, a flat typed array, or nested arrays.
 * @param {string} name
 * @param {readonly number[]} shape
 * @param {readonly number[] | null} range
 * @param {string | null} [encoding]
 * @returns {Batch}
 * @throws {InputError} `value` does not have the shape `shape`, or `asBatch` refuses it.
 */
export function asExample(value, name, shape, range, encoding = null) {
  const array = asArray(value, name);
  if (!hasShape(array, shape)) {
    throw new InputError(`${name} has shape ${tuple(array.shape)}; expected one example of shape ${tuple(shape)}`);
  }
  const data = asFloat32(array, name, range, encoding);
  return asBatch({ data, shape: [1, ...shape] }, name, shape, range);
}

/**
 * Return the values of all conditions for a batch.
 *
 * @param {unknown} given Values by name, as `asCondition` takes them: an object or a Map. null means no values.
 * @param {readonly Condition[]} conditions The conditions of the model.
 * @param {number} n Number of examples in the batch.
 * @returns {Record<string, Input>} Values by name, in the order of `conditions`.
 * @throws {InputError} A condition is missing or unknown, or `asCondition` refuses its values.
 */
export function asConditions(given, conditions, n) {
  const named = given ?? {};
  if (typeof named !== "object" || Array.isArray(named)) {
    throw new InputError(`conditions is ${describe(given)}; expected an object from names to values`);
  }
  const values = new Map(named instanceof Map ? named : Object.entries(named));
  if (values.size !== conditions.length || !conditions.every(({ name }) => values.has(name))) {
    const expected = conditions.map(({ name }) => name).join(", ");
    const takes = expected ? `this model takes: ${expected}` : "this model has no conditions";
    throw new InputError(`conditions given: ${[...values.keys()].join(", ") || "none"}; ${takes}`);
  }
  /** @type {Record<string, Input>} */
  const result = Object.create(null);
  for (const condition of conditions) result[condition.name] = asCondition(values.get(condition.name), condition, n);
  return result;
}

/**
 * Return the values of a condition for a batch, one value per example.
 *
 * @param {unknown} value Array of n values, or one value for all examples. Classes are numbers or names.
 * @param {Condition} condition
 * @param {number} n Number of examples in the batch.
 * @returns {Input}
 * @throws {InputError} `value` has a wrong shape or type, or holds an unknown class, NaN or infinity.
 */
export function asCondition(value, condition, n) {
  const { name, dtype, classes } = condition;
  const shape = [n, ...condition.shape];
  const array = asArray(value, name);
  const isShared = hasShape(array, condition.shape);
  if (!isShared && !hasShape(array, shape)) {
    const expected = `${tuple(shape)}, or one value of shape ${tuple(condition.shape)} for all examples`;
    throw new InputError(`${name} has shape ${tuple(array.shape)}; expected ${expected}`);
  }
  if (dtype === "float32") {
    const data = asFloat32(array, name, null, null);
    return asBatch({ data: isShared ? repeated(data, n) : data, shape }, name, condition.shape);
  }
  const numbers = classNumbers(array, name, classes);
  return { data: isShared ? repeated(numbers, n) : numbers, shape };
}

/**
 * Validate an integer, and return it as a number.
 *
 * @param {unknown} value
 * @param {string} name
 * @param {number} [minimum]
 * @param {number} [maximum]
 * @returns {number}
 * @throws {InputError} `value` is not an integer from `minimum` to `maximum`.
 */
export function asCount(value, name, minimum = 1, maximum = MAX_ROWS) {
  const isInteger = typeof value === "bigint" || Number.isInteger(value);
  const number = isInteger ? Number(value) : NaN;
  if (!(minimum <= number && number <= maximum)) {
    throw new InputError(
      `${name} is ${describe(value)}; expected an integer from ${minimum} to ${withCommas(maximum)}`,
    );
  }
  return number;
}

/**
 * Return a seed as a BigInt, or null for fresh entropy.
 *
 * @param {unknown} seed A number, a BigInt or a decimal string. A seed above 2^53 - 1 must be a BigInt or a string,
 *   because a JavaScript number of this size is rounded.
 * @returns {bigint | null}
 * @throws {InputError} The seed is not a non-negative integer.
 */
export function asSeed(seed) {
  if (seed === null || seed === undefined) return null;
  const isText = typeof seed === "string" && /^[0-9]+$/.test(seed);
  const isExact = typeof seed === "bigint" || Number.isSafeInteger(seed);
  if (isText || isExact) {
    const value = BigInt(/** @type {string | number | bigint} */ (seed));
    if (value >= 0n) return value;
  }
  const hint =
    typeof seed === "number" && seed >= 2 ** 53 ? "; give a seed above 2^53 - 1 as a BigInt or a string" : "";
  throw new InputError(`seed is ${describe(seed)}; expected a non-negative integer, or null for fresh entropy${hint}`);
}

/**
 * Return the elements of an array as float32. An overflow becomes infinity, which is refused later.
 *
 * @param {ArrayLike} array
 * @param {string} name
 * @param {readonly number[] | null} range
 * @param {string | null} encoding
 */
function asFloat32({ data, dtype }, name, range, encoding) {
  if (data instanceof Float32Array) return data;
  const numbers = /** @type {number[]} */ (data);
  const isTyped = ArrayBuffer.isView(data);
  const pixels = PIXELS.get(dtype);
  // Dividing in float64 and rounding to float32 gives the same bits as dividing in float32.
  if (isTyped && pixels && dtype === encoding) return Float32Array.from(numbers, (pixel) => pixel / pixels);
  if (!(isTyped ? FLOATS.includes(dtype) : data.every((value) => typeof value === "number"))) {
    throw new InputError(`${name} is an array of ${dtype}; expected float32${pixelHint(name, pixels, range)}`);
  }
  return Float32Array.from(numbers);
}

/**
 * Return the part of an error message that says how to add missing axes, or "" if no axis is missing.
 *
 * @param {readonly number[]} given
 * @param {readonly number[]} shape
 */
function axisHint(given, shape) {
  if (isEqual(given, shape) || isEqual([1, ...given], shape)) {
    return `; for a single example pass {data, shape: [${[1, ...shape].join(", ")}]}`;
  }
  const fits = given.length && isEqual([1, ...given.slice(1)], shape);
  return fits ? `; add the missing axis with {data, shape: [${[given[0], ...shape].join(", ")}]}` : "";
}

/**
 * Return the part of an error message that says how to convert pixels, or "" for other arrays.
 *
 * @param {string} name
 * @param {number | undefined} maximum Largest value of a pixel; undefined for other arrays.
 * @param {readonly number[] | null} range
 */
function pixelHint(name, maximum, range) {
  if (!maximum) return "";
  const scaled = `Float32Array.from(${name}, (pixel) => pixel / ${maximum})`;
  if (range === null) {
    return (
      `; convert it with ${scaled} if the model was trained on values in [0, 1], otherwise with ` +
      `Float32Array.from(${name})`
    );
  }
  return isEqual(range, [0, 1]) ? `; scale pixels of 0..${maximum} with ${scaled}` : "";
}

/**
 * @param {Float32Array} data
 * @param {string} name
 * @param {number} size Number of elements of one example.
 * @param {readonly number[] | null} range
 */
function requireWithin(data, name, size, range) {
  // The limits are rounded to float32, because the values are. In float32, 0.1 is rounded up, and a limit of 0.1 must
  // allow it.
  const [low, high] = (range ?? [-FLOAT32_MAX, FLOAT32_MAX]).map(Math.fround);
  const first = data.findIndex((value) => !(value >= low && value <= high));
  if (first < 0) return;
  const invalid = data.findIndex((value) => !Number.isFinite(value));
  if (invalid >= 0) throw new InputError(`${name} holds NaN or infinity in example ${Math.floor(invalid / size)}`);
  const [smallest, largest] = limitsOf(data).map((value) => general(Number(value), 9));
  throw new InputError(
    `${name} holds values from ${smallest} to ${largest}; the model takes ${general(low)} to ` +
      `${general(high)}. The first value outside this range is in example ${Math.floor(first / size)}`,
  );
}

/**
 * Return the number of the class of each label.
 *
 * @param {ArrayLike} labels Numbers or names of classes. A number may also be written as a text, such as "3", if no
 *   class has an integer as its name. Spaces around a text are ignored.
 * @param {string} name Name of the condition, for the error.
 * @param {readonly string[]} classes
 * @returns {BigInt64Array}
 */
function classNumbers({ data, dtype }, name, classes) {
  if (dtype === "string") {
    const labels = /** @type {string[]} */ (data);
    return BigInt64Array.from(labels, (label) => BigInt(classNumber(label, name, classes)));
  }
  const numbers = /** @type {(number | bigint)[]} */ (data);
  const isNumeric = /^(u?int|float)[0-9]+$/.test(dtype);
  const [smallest, largest] = isNumeric ? limitsOf(numbers) : [NaN, NaN];
  if (!dtype.startsWith("float") && smallest >= 0 && largest < classes.length) {
    return BigInt64Array.from(numbers, BigInt);
  }
  const described = `an array of ${dtype}${isNumeric ? ` from ${smallest} to ${largest}` : ""}`;
  throw new InputError(
    `${name} is ${described}; expected integers from 0 to ${classes.length - 1}, or the names ${quotedList(classes)} ` +
      "as strings",
  );
}

/**
 * @param {string} label
 * @param {string} name
 * @param {readonly string[]} classes
 */
function classNumber(label, name, classes) {
  const number = label.trim();
  for (const text of [label, number]) if (classes.includes(text)) return classes.lastIndexOf(text);
  const numbersAreNames = classes.some((text) => /^\p{Decimal_Number}+$/u.test(text));
  if (/^[0-9]{1,9}$/.test(number) && Number(number) < classes.length && !numbersAreNames) return Number(number);
  const other = numbersAreNames ? "" : `, or a number from 0 to ${classes.length - 1}`;
  throw new InputError(
    `${name}: ${quote(label)} is not a class of this model; expected one of ${quotedList(classes)}${other}`,
  );
}
