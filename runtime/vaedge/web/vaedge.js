/** Run a variational autoencoder that vaedge exported, in browsers and in Node. This module is the public interface. */

export { BundleError, BundleNotFoundError, ClosedError, InferenceError, InputError, VaedgeError } from "./errors.js";
export { load } from "./loading.js";
export { VAE } from "./vae.js";
