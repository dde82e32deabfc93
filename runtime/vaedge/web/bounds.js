/**
 * Bounds on log p(x): the ELBO and the importance-weighted bound (Burda et al. 2016), in nats per example.
 *
 * @typedef {import("./batches.js").Batch} Batch
 * @typedef {import("./posterior.js").Posterior} Posterior
 * @typedef {import("./prior.js").Prior} Prior
 * @typedef {import("./likelihoods.js").Likelihood} Likelihood
 * @typedef {import("./random.js").Generator} Generator
 *
 * @typedef {(start: number, end: number) => Promise<Posterior>} Encode Returns q(z|x) of the rows from `start` to
 *   `end` - 1 of x.
 * @typedef {(z: Batch, start: number, end: number) => Promise<Batch[]>} Decode Returns the parameters of p(x|z) for
 *   the latents z of the rows from `start` to `end` - 1 of x. Each row of x has the same number of latents, which are
 *   consecutive rows of z.
 *
 * @typedef {object} LogWeights Terms of each latent in nats. The draws of one example are consecutive.
 * @property {Float64Array} distortion -log p(x|z).
 * @property {Float64Array} rate log q(z|x) - log p(z). The logarithm of the weight is -(distortion + rate).
 *
 * @typedef {object} Bounds Estimates for each example in nats, from the same draws of z.
 * @property {Float64Array} bound Logarithm of the mean of p(x, z) / q(z|x) over the draws. It is never below the ELBO.
 * @property {Float64Array} elbo Mean of log(p(x, z) / q(z|x)) over the draws.
 * @property {Float64Array} rate Mean of log q(z|x) - log p(z) over the draws.
 * @property {Float64Array} distortion Mean of -log p(x|z) over the draws.
 */

import { elementLogProbs } from "./likelihoods.js";
import { generator } from "./random.js";
import { rowsOf } from "./batches.js";

const LOG_2PI = Math.log(2 * Math.PI);
/** Maximum number of latents that are decoded at once. */
const MAX_LATENTS = 2048;

/**
 * Estimate the ELBO and the importance-weighted bound with k draws of z per example.
 *
 * @param {Batch} x Examples, already validated.
 * @param {Encode} encode
 * @param {Decode} decode
 * @param {Prior} prior
 * @param {Likelihood} likelihood
 * @param {{k: number, seed: unknown}} options Number of draws per example, and their seed. The draws of an example do
 *   not depend on the examples after it.
 * @returns {Promise<Bounds>}
 */
export async function estimateBounds(x, encode, decode, prior, likelihood, { k, seed }) {
  const n = x.shape[0];
  const rng = generator(seed);
  const [bound, elbo, rate, distortion] = [0, 1, 2, 3].map(() => new Float64Array(n));
  const examples = Math.max(1, Math.floor(MAX_LATENTS / k));
  for (let start = 0; start < n; start += examples) {
    const end = Math.min(n, start + examples);
    const posterior = await encode(start, end);
    const parts = [];
    for (let done = 0; done < k; done += MAX_LATENTS) {
      const draws = Math.min(k - done, MAX_LATENTS);
      const z = drawLatents(posterior, draws, rng);
      const parameters = await decode(z, start, end);
      parts.push(logWeights(rowsOf(x, start, end), z, posterior, parameters, prior, likelihood));
    }
    // Several parts occur only if k > MAX_LATENTS. All of them then belong to one example, so their order is right.
    const distortions = Float64Array.from(parts.flatMap((part) => [...part.distortion]));
    const rates = Float64Array.from(parts.flatMap((part) => [...part.rate]));
    for (let row = start; row < end; row += 1) {
      const from = (row - start) * k;
      const weights = new Float64Array(k).map((_, draw) => -(distortions[from + draw] + rates[from + draw]));
      distortion[row] = mean(distortions.subarray(from, from + k));
      rate[row] = mean(rates.subarray(from, from + k));
      elbo[row] = mean(weights);
      bound[row] = logMeanExp(weights);
    }
  }
  return { bound, elbo, rate, distortion };
}

/**
 * Draw latents of each example from its posterior. Each latent is computed in float64, and rounded once to float32.
 *
 * @param {Posterior} posterior n rows.
 * @param {number} draws Number of latents per example.
 * @param {Generator} rng
 * @returns {Batch} n * draws rows.
 */
function drawLatents({ mean: { data: mean, shape }, logVar }, draws, rng) {
  const [n, ...latentShape] = shape;
  const length = mean.length / n;
  const std = Float64Array.from(logVar.data, (value) => Math.exp(0.5 * value));
  const data = rng.fillNormals(new Float32Array(mean.length * draws));
  for (let at = 0; at < data.length; at += 1) {
    const index = Math.floor(at / (length * draws)) * length + (at % length);
    data[at] = mean[index] + std[index] * data[at];
  }
  return { data, shape: [n * draws, ...latentShape] };
}

/**
 * Return the terms of log(p(x, z) / q(z|x)) of each latent.
 *
 * @param {Batch} x n examples.
 * @param {Batch} z n * draws latents.
 * @param {Posterior} posterior n rows.
 * @param {readonly Batch[]} parameters The parameters of p(x|z), n * draws rows each.
 * @param {Prior} prior
 * @param {Likelihood} likelihood
 * @returns {LogWeights}
 */
export function logWeights(x, z, { mean, logVar }, parameters, prior, likelihood) {
  const length = mean.data.length / mean.shape[0];
  const draws = z.shape[0] / mean.shape[0];
  const constant = Float64Array.from(logVar.data, (value) => value + LOG_2PI);
  const precision = Float64Array.from(logVar.data, (value) => Math.exp(-value));
  const logPrior = prior.logProb(z);
  const rate = logPrior.map((value, row) => {
    const first = Math.floor(row / draws) * length;
    let sum = 0;
    for (let index = 0; index < length; index += 1) {
      const difference = z.data[row * length + index] - mean.data[first + index];
      sum += difference ** 2 * precision[first + index] + constant[first + index];
    }
    return -0.5 * sum - value;
  });
  return { distortion: rowSums(elementLogProbs(likelihood, x, parameters)).map((value) => -value), rate };
}

/**
 * Return the sum of the elements of each row, in float64.
 *
 * @param {Batch} batch
 */
export function rowSums({ data, shape }) {
  const length = data.length / shape[0];
  return new Float64Array(shape[0]).map((_, row) => {
    let sum = 0;
    for (let index = row * length; index < (row + 1) * length; index += 1) sum += data[index];
    return sum;
  });
}

/** @param {Float64Array} values */
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/**
 * Return log(mean(exp(values))).
 *
 * @param {Float64Array} values
 */
function logMeanExp(values) {
  const largest = values.reduce((a, b) => Math.max(a, b), -Infinity);
  return largest + Math.log(mean(values.map((value) => Math.exp(value - largest))));
}
