/** Reads the fields of untrusted JSON objects; unknown fields are errors. */

import { BundleError } from "./errors.js";
import { isObject, jsonText } from "./json.js";
import { isPrintable, shortened, shown, withCommas } from "./messages.js";

/** @typedef {import("./json.js").Json} Json */

const MAX_ELEMENTS = 2 ** 28; // maximum for one example, which is 1 GiB as float32
const MAX_AXES = 8;
const FLOAT32_MAX = 3.4028234663852886e38;
const MAX_SHOWN = 60;

/**
 * One object of a JSON tree, read field by field.
 *
 * Every method that reads a field throws a BundleError if the field is missing or invalid. The message names the file
 * and the field.
 */
export class Fields {
  /**
   * @param {Json | undefined} tree The parsed value, which must be an object.
   * @param {string} path Path of the object in the file: field names joined with dots. Empty for the whole file.
   * @param {string} file Name of the file, for errors.
   */
  constructor(tree, path, file) {
    if (!isObject(tree)) throw new BundleError(`${file}: ${path || "the whole file"} is not a JSON object`);
    this.tree = tree;
    this.path = path;
    this.file = file;
    /** @type {Set<string>} */
    this.read = new Set();
  }

  /**
   * Return a BundleError that states the value of a field and the expected value.
   *
   * @param {string} key
   * @param {string} expected
   */
  error(key, expected) {
    const found = this.has(key) ? shortened(jsonText(this.tree[key]), MAX_SHOWN) : "missing";
    return new BundleError(`${this.file}: ${shown(this.pathOf(key))} is ${found}; expected ${expected}`);
  }

  /**
   * Return whether the object has the field. Use this method for optional fields.
   *
   * @param {string} key
   */
  has(key) {
    return key in this.tree;
  }

  /** Throw a BundleError if the object has a field that was not read. */
  finish() {
    const unknown = Object.keys(this.tree).find((key) => !this.read.has(key));
    if (unknown !== undefined) {
      throw new BundleError(
        `${this.file}: ${shortened(jsonText(this.pathOf(unknown)), MAX_SHOWN)} is not a field of this format`,
      );
    }
  }

  /**
   * Read a non-empty string of printable characters.
   *
   * @param {string} key
   */
  text(key) {
    const value = this.get(key);
    if (!isText(value) || !value) throw this.error(key, "a string of printable characters");
    return value;
  }

  /**
   * Read a string that matches the whole pattern.
   *
   * @param {string} key
   * @param {RegExp} pattern A pattern that starts with ^ and ends with $.
   */
  matching(key, pattern) {
    const value = this.text(key);
    if (!pattern.test(value)) throw this.error(key, `text that matches ${pattern.source.slice(1, -1)}`);
    return value;
  }

  /**
   * Read an integer from 0 to 2^63 - 1. A result of 2^53 or more is rounded. No real size is that large.
   *
   * @param {string} key
   */
  integer(key) {
    const value = this.get(key);
    if (typeof value !== "bigint" || value < 0n || value >= 2n ** 63n) throw this.error(key, "a non-negative integer");
    return Number(value);
  }

  /**
   * Read a list of strings of printable characters.
   *
   * @param {string} key
   * @param {{empty?: boolean}} [options] `empty`: whether an empty list is allowed.
   */
  texts(key, { empty = false } = {}) {
    const value = this.get(key);
    if (!Array.isArray(value) || !(value.length || empty)) throw this.error(key, "a list of strings");
    if (!value.every(isText)) throw this.error(key, "a list of strings of printable characters");
    return Object.freeze([...value]);
  }

  /**
   * Read a shape: a list of at most 8 positive integers, whose product is at most 2^28.
   *
   * @param {string} key
   * @param {{scalar?: boolean}} [options] `scalar`: whether to allow an empty list, the shape of a single number.
   */
  shape(key, { scalar = false } = {}) {
    const value = this.get(key);
    if (!Array.isArray(value) || !(value.length || scalar) || value.length > MAX_AXES) {
      throw this.error(key, `a list of at most ${MAX_AXES} positive integers`);
    }
    const sizes = value.map((size) => (typeof size === "bigint" ? Number(size) : 0));
    if (!sizes.every((size) => size > 0) || !(sizes.reduce((a, b) => a * b, 1) <= MAX_ELEMENTS)) {
      throw this.error(key, `positive integers whose product is at most ${withCommas(MAX_ELEMENTS)}`);
    }
    return Object.freeze(sizes);
  }

  /**
   * Read a list [minimum, maximum] with minimum < maximum. Return null for null.
   *
   * @param {string} key
   * @returns {readonly [number, number] | null}
   */
  range(key) {
    const value = this.get(key);
    if (value === null) return null;
    if (!Array.isArray(value) || value.length !== 2) throw this.error(key, "[minimum, maximum] or null");
    const [low, high] = value;
    if (!isNumber(low) || !isNumber(high)) throw this.error(key, "[minimum, maximum] or null");
    if (!(-FLOAT32_MAX <= low && low < high && high <= FLOAT32_MAX)) {
      throw this.error(key, "[minimum, maximum], both finite in float32, or null");
    }
    return Object.freeze(/** @type {[number, number]} */ ([Number(low), Number(high)]));
  }

  /**
   * Read an object without validating its fields. A BigInt is converted to a JavaScript number if this number is exact.
   *
   * @param {string} key
   * @returns {Readonly<Record<string, any>>}
   */
  mapping(key) {
    const value = this.get(key);
    if (!isObject(value)) throw this.error(key, "an object");
    return plain(value);
  }

  /**
   * Read an object as a `Fields` object.
   *
   * @param {string} key
   */
  fields(key) {
    const value = this.get(key);
    if (!isObject(value)) throw this.error(key, "an object");
    return new Fields(value, this.pathOf(key), this.file);
  }

  /**
   * Read all fields as pairs of a name and a `Fields` object. Every value must be an object.
   *
   * @returns {[string, Fields][]}
   */
  entries() {
    return Object.keys(this.tree).map((key) => [key, this.fields(key)]);
  }

  /** @param {string} key */
  get(key) {
    this.read.add(key);
    return this.tree[key];
  }

  /** @param {string} key */
  pathOf(key) {
    return this.path ? `${this.path}.${key}` : key;
  }
}

/**
 * Return a frozen copy of a tree. A BigInt is converted to a JavaScript number if this number is exact.
 *
 * @param {Json} value
 * @returns {any}
 */
function plain(value) {
  if (Array.isArray(value)) return Object.freeze(value.map(plain));
  if (isObject(value)) {
    /** @type {Record<string, any>} */
    const fields = Object.create(null);
    for (const [name, field] of Object.entries(value)) fields[name] = plain(field);
    return Object.freeze(fields);
  }
  return typeof value === "bigint" && Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

/**
 * @param {unknown} value
 * @returns {value is string}
 */
const isText = (value) => typeof value === "string" && isPrintable(value);

/**
 * @param {unknown} value
 * @returns {value is number | bigint}
 */
const isNumber = (value) => typeof value === "number" || typeof value === "bigint";
