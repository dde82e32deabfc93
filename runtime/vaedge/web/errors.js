/**
 * The errors that vaedge throws on purpose.
 *
 * Each message says what was wrong, what was expected, and what to do.
 *
 * - VaedgeError
 *   - BundleError
 *     - BundleNotFoundError
 *   - InputError
 *   - ClosedError
 *   - InferenceError
 */

/** Base of every error that vaedge throws on purpose. */
export class VaedgeError extends Error {}

/** A bundle or a file of a bundle does not match the manifest or the bundle format. */
export class BundleError extends VaedgeError {}

/** A bundle or a file of a bundle does not exist. */
export class BundleNotFoundError extends BundleError {}

/** An argument of a call is invalid. */
export class InputError extends VaedgeError {}

/** A VAE was used after it was closed. */
export class ClosedError extends VaedgeError {}

/** ONNX Runtime failed while it ran a graph. `cause` holds the error of ONNX Runtime. */
export class InferenceError extends VaedgeError {}

// The names are set as strings, because tools that shorten scripts also change the names of classes.
for (const [name, type] of Object.entries({
  VaedgeError,
  BundleError,
  BundleNotFoundError,
  InputError,
  ClosedError,
  InferenceError,
})) {
  Object.defineProperty(type.prototype, "name", { value: name, configurable: true, writable: true });
}
