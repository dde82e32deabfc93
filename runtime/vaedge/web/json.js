/** Strict parser of untrusted JSON. */

import { BundleError } from "./errors.js";
import { quote, shortened, withCommas } from "./messages.js";

/**
 * A parsed JSON value. Integers are of type bigint, and other numbers of type number, so that 1 and 1.0 differ. Objects
 * have no prototype, so that a field named `__proto__` is a field like any other.
 *
 * @typedef {null | boolean | bigint | number | string | JsonArray | JsonObject} Json
 * @typedef {Json[]} JsonArray
 * @typedef {{[name: string]: Json}} JsonObject
 */

const MAX_DEPTH = 500;
const MAX_DIGITS = 4300; // maximum for an integer; converting a longer integer takes too much time

const SPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?/y;
const WORD = /true|false|null|NaN|-?Infinity/y;
const SURROGATE = /\p{Surrogate}/u;

/**
 * Parse JSON text. NaN, infinity, duplicate field names in an object, and unpaired surrogates are errors.
 *
 * @param {string} text The content of the file.
 * @param {string} file Name of the file, for errors.
 * @returns {Json}
 * @throws {BundleError} The text is not valid JSON, or contains one of the errors above. The message names the file.
 */
export function parseJson(text, file) {
  try {
    return new Parser(text).document();
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new BundleError(`${file} is not valid JSON: ${error.message}`, { cause: error });
  }
}

/** A recursive parser, because `JSON.parse` accepts duplicate names, and does not distinguish 1 from 1.0. */
class Parser {
  /** @param {string} text */
  constructor(text) {
    this.text = text;
    this.position = 0;
  }

  document() {
    const value = this.value(0);
    this.match(SPACE);
    if (this.position < this.text.length) throw this.error("Extra data");
    return value;
  }

  /** @param {string} message */
  error(message) {
    const before = this.text.slice(0, this.position).split("\n");
    const column = (before.at(-1) ?? "").length + 1;
    return new SyntaxError(`${message}: line ${before.length} column ${column} (char ${this.position})`);
  }

  /**
   * Match a sticky pattern at the position, and move the position to the end of the match.
   *
   * @param {RegExp} pattern
   */
  match(pattern) {
    pattern.lastIndex = this.position;
    const found = pattern.exec(this.text);
    if (found) this.position = pattern.lastIndex;
    return found;
  }

  /**
   * Skip white space and then the given character. Return whether the character was found.
   *
   * @param {string} character
   */
  skip(character) {
    this.match(SPACE);
    const found = this.text[this.position] === character;
    if (found) this.position += 1;
    return found;
  }

  /**
   * @param {number} depth
   * @returns {Json}
   */
  value(depth) {
    if (depth > MAX_DEPTH) throw new SyntaxError(`arrays and objects are nested more than ${MAX_DEPTH} levels deep`);
    if (this.skip("{")) return this.object(depth);
    if (this.skip("[")) return this.array(depth);
    if (this.text[this.position] === '"') return this.string();
    const word = this.match(WORD)?.[0];
    if (word === "null") return null;
    if (word === "true" || word === "false") return word === "true";
    if (word) throw new SyntaxError(`${word} is not a JSON number`);
    return this.number();
  }

  number() {
    const found = this.match(NUMBER);
    if (!found) throw this.error("Expecting value");
    const [digits, fraction, exponent] = found;
    if (fraction === undefined && exponent === undefined) {
      if (digits.length > MAX_DIGITS) {
        throw new SyntaxError(
          `an integer has ${withCommas(digits.length)} digits; at most ${withCommas(MAX_DIGITS)} are allowed`,
        );
      }
      return BigInt(digits);
    }
    const value = Number(digits);
    if (!Number.isFinite(value)) throw new SyntaxError(`${shortened(digits, 60)} is not a JSON number`);
    return value;
  }

  string() {
    let end = this.position + 1;
    while (end < this.text.length && this.text[end] !== '"') end += this.text[end] === "\\" ? 2 : 1;
    const literal = this.text.slice(this.position, end + 1);
    /** @type {string} */
    let value;
    try {
      value = JSON.parse(literal); // a single string, which JSON.parse reads strictly
    } catch {
      throw this.error("Invalid string");
    }
    if (SURROGATE.test(value)) throw this.error("Unpaired surrogates not allowed");
    this.position = end + 1;
    return value;
  }

  /** @param {number} depth */
  array(depth) {
    /** @type {Json[]} */
    const values = [];
    if (this.skip("]")) return values;
    do values.push(this.value(depth + 1));
    while (this.skip(","));
    if (!this.skip("]")) throw this.error("Expecting ',' delimiter");
    return values;
  }

  /** @param {number} depth */
  object(depth) {
    /** @type {JsonObject} */
    const fields = Object.create(null);
    if (this.skip("}")) return fields;
    do {
      this.match(SPACE);
      if (this.text[this.position] !== '"') throw this.error("Expecting property name enclosed in double quotes");
      const name = this.string();
      if (name in fields) throw new SyntaxError(`the field ${quote(name)} occurs more than once in the same object`);
      if (!this.skip(":")) throw this.error("Expecting ':' delimiter");
      fields[name] = this.value(depth + 1);
    } while (this.skip(","));
    if (!this.skip("}")) throw this.error("Expecting ',' delimiter");
    return fields;
  }
}

/**
 * Return a value as the text that Python's `json.dumps` writes.
 *
 * @param {Json} value
 * @returns {string}
 */
export function jsonText(value) {
  if (Array.isArray(value)) return `[${value.map(jsonText).join(", ")}]`;
  if (isObject(value)) {
    return `{${Object.entries(value)
      .map(([name, field]) => `${jsonText(name)}: ${jsonText(field)}`)
      .join(", ")}}`;
  }
  if (typeof value === "string") return JSON.stringify(value).replace(/[^ -~]/g, escapedUnit);
  const text = String(value);
  return typeof value === "number" && /^-?[0-9]+$/.test(text) ? `${text}.0` : text;
}

/**
 * Return whether a value is a JSON object.
 *
 * @param {Json | undefined} value
 * @returns {value is JsonObject}
 */
export function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** @param {string} unit A character of 16 bits. */
const escapedUnit = (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
