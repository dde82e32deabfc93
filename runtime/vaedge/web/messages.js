/**
 * Texts for error messages. Values of untrusted files are shortened, and characters that cannot be printed are escaped.
 */

const MAX_LENGTH = 200;
/** Matches a character that is not printable for Python's `str.isprintable`. A space is printable. */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u;
const EACH_UNPRINTABLE = new RegExp(UNPRINTABLE, "gu");
/** @type {Record<string, string>} */
const SHORT_ESCAPES = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/**
 * Return whether a text has only characters that can be printed. Control characters could manipulate a terminal.
 *
 * @param {string} text
 */
export function isPrintable(text) {
  return !UNPRINTABLE.test(text);
}

/**
 * Shorten a text, and escape the characters that cannot be printed.
 *
 * @param {string} text
 * @param {number} [maximum] Maximum length.
 */
export function shown(text, maximum = MAX_LENGTH) {
  // The second cut is needed, because the escapes make the text longer.
  return shortened(shortened(text, maximum).replace(EACH_UNPRINTABLE, escaped), maximum);
}

/**
 * Return a text in quotes, as Python's `repr` does.
 *
 * @param {string} text
 */
export function quote(text) {
  const mark = text.includes("'") && !text.includes('"') ? '"' : "'";
  return mark + shown(text.replaceAll("\\", "\\\\").replaceAll(mark, `\\${mark}`)) + mark;
}

/**
 * Return names in quotes; a long list is shortened.
 *
 * @param {readonly string[]} names
 */
export function quotedList(names) {
  return shortened(names.map(quote).join(", "), MAX_LENGTH);
}

/**
 * Cut a text that is longer than `maximum` characters.
 *
 * @param {string} text
 * @param {number} maximum
 */
export function shortened(text, maximum) {
  return text.length <= maximum ? text : `${text.slice(0, maximum - 3)}...`;
}

/**
 * Return a number with commas between groups of three digits.
 *
 * @param {number} value
 */
export function withCommas(value) {
  return value.toLocaleString("en-US");
}

/**
 * Return a shape as Python shows it: "(2, 3)", "(2,)" or "()".
 *
 * @param {readonly (number | string)[]} shape
 */
export function tuple(shape) {
  return `(${shape.join(", ")}${shape.length === 1 ? "," : ""})`;
}

/**
 * Return a number in at most `digits` digits, as the format `g` of Python and C does.
 *
 * @param {number} value
 * @param {number} [digits]
 */
export function general(value, digits = 6) {
  if (!Number.isFinite(value)) return String(value);
  const [mantissa, power] = value.toExponential(digits - 1).split("e");
  const exponent = Number(power);
  if (exponent >= -4 && exponent < digits) return String(Number(value.toFixed(digits - 1 - exponent)));
  return `${Number(mantissa)}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
}

/**
 * Describe an argument of a call.
 *
 * @param {unknown} value
 */
export function describe(value) {
  if (typeof value === "string") return quote(value);
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object" && value !== null)
    return `an object of type ${shown(value.constructor?.name ?? "Object")}`;
  return typeof value === "function" ? "a function" : shown(String(value));
}

/** @param {string} character */
function escaped(character) {
  const short = SHORT_ESCAPES[character];
  if (short) return short;
  const code = /** @type {number} */ (character.codePointAt(0));
  const [letter, digits] = code < 0x100 ? ["x", 2] : code < 0x10000 ? ["u", 4] : ["U", 8];
  return `\\${letter}${code.toString(16).padStart(Number(digits), "0")}`;
}
