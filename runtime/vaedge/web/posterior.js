/**
 * The posterior q(z|x): a diagonal Gaussian whose parameters the encoder returns.
 *
 * @typedef {import("./batches.js").Batch} Batch
 * @typedef {{mean: Batch, logVar: Batch}} Posterior
 */

import { generator } from "./random.js";

/**
 * Return exp(logVar / 2), computed in float64 and rounded once to float32.
 *
 * @param {Float32Array} logVar
 * @returns {Float32Array}
 */
export function standardDeviation(logVar) {
  return logVar.map((value) => Math.exp(0.5 * value));
}

/**
 * Draw one z per example: mean + exp(logVar / 2) * eps.
 *
 * @param {Posterior} posterior
 * @param {unknown} seed The same seed gives the same z. null uses fresh entropy.
 * @returns {Batch} The latents, of the shape of the mean.
 */
export function samplePosterior({ mean, logVar }, seed) {
  const data = generator(seed).fillNormals(new Float32Array(mean.data.length));
  const std = standardDeviation(logVar.data);
  for (let index = 0; index < data.length; index += 1) {
    data[index] = mean.data[index] + Math.fround(std[index] * data[index]);
  }
  return { data, shape: [...mean.shape] };
}
