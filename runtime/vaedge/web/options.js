/** Validates the options of the public functions, so that a misspelled name is an error. */

import { InputError } from "./errors.js";
import { describe, quote } from "./messages.js";

/**
 * Return the options of a call. An option that is missing or undefined has its default value.
 *
 * @template T
 * @template {Record<keyof T, unknown>} D
 * @param {string} name Name of the function, for the error.
 * @param {T | undefined} given The options that the caller gave.
 * @param {D} defaults The default values of all options of the function.
 * @returns {{[K in keyof D]: D[K] | (K extends keyof T ? Exclude<T[K], undefined> : never)}}
 * @throws {InputError} `given` is not an object, or has an option that the function does not have.
 */
export function asOptions(name, given, defaults) {
  /** @type {any} */
  const options = { ...defaults };
  if (given === undefined) return options;
  const allowed = Object.keys(defaults).join(", ");
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new InputError(`the options of ${name} are ${describe(given)}; expected an object with ${allowed}`);
  }
  for (const [option, value] of Object.entries(given)) {
    if (!Object.hasOwn(defaults, option)) {
      throw new InputError(`${name} has no option ${quote(option)}; its options are ${allowed}`);
    }
    if (value !== undefined) options[option] = value;
  }
  return options;
}
