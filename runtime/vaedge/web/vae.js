/**
 * A variational autoencoder that runs in ONNX Runtime. The methods correspond to those of `vaedge.VAE` in Python.
 *
 * @typedef {import("./batches.js").Batch} Batch
 * @typedef {import("./batches.js").Input} Input
 * @typedef {import("./posterior.js").Posterior} Posterior
 * @typedef {import("./bounds.js").Bounds} Bounds
 * @typedef {import("./loading.js").Model} Model
 *
 * @typedef {import("./detection.js").Terms & {score: Float32Array, pValue: Float64Array, isAnomaly: boolean[]}} Detection
 *   The decision about each example, and the terms of its score.
 *
 * @typedef {Record<string, unknown>} Conditions Values of the conditions by name, for a conditional model: one value
 *   for all examples, or one value per example. Classes are numbers or names.
 * @typedef {unknown} Examples `{data, shape: [n, ...inputShape]}` with a Float32Array (or a Uint8Array, if the manifest
 *   has an encoding), a flat typed array of n examples, or nested arrays of numbers.
 */

import { concatenate, concatenateAll, repeatAll, rowsOf, sliceAll } from "./batches.js";
import { estimateBounds } from "./bounds.js";
import { checkModel } from "./check.js";
import { computeTerms } from "./detection.js";
import { ClosedError, InputError } from "./errors.js";
import { draw as drawFrom, requireDrawable, requireScorable } from "./likelihoods.js";
import { samplePosterior } from "./posterior.js";
import { asOptions } from "./options.js";
import { thirdGenerator } from "./random.js";
import { asBatch, asConditions, asCount, asExample, MAX_LATENT } from "./validation.js";

const LATENT_RANGE = [-MAX_LATENT, MAX_LATENT];
const ONLY_CONDITIONS = { conditions: undefined };
const BOUNDS_OPTIONS = { k: 100, seed: null, conditions: undefined };

export class VAE {
  /** @param {Model} model The variant that `load` opened. */
  constructor(model) {
    /** @type {Model | null} */
    this.model = model;
    this.manifest = model.manifest;
    /** Name of the variant. */
    this.variant = model.variant;
    /** SHA-256 of manifest.json, which identifies the bundle. */
    this.sha256 = model.sha256;
    /** The calibration of anomaly detection, or null. */
    this.calibration = model.calibration;
    /** The prior p(z). */
    this.prior = model.prior;
  }

  /** Shape of one example, without the batch axis. */
  get inputShape() {
    return this.manifest.inputShape;
  }

  /** Shape of one latent, without the batch axis. */
  get latentShape() {
    return this.manifest.latentShape;
  }

  /**
   * Return the posterior q(z|x) of each example.
   *
   * @param {Examples} x
   * @param {{conditions?: Conditions}} [options]
   * @returns {Promise<Posterior>} Its `mean` and `logVar` have the shape [n, ...latentShape].
   */
  async encode(x, options) {
    const { conditions } = asOptions("encode", options, ONLY_CONDITIONS);
    const examples = this.asExamples(x, "x");
    return this.runEncoder(examples, this.asConditions(conditions, examples.shape[0]));
  }

  /**
   * Return the mean of p(x|z) for each latent.
   *
   * @param {Examples} z Latents with absolute values of at most 1e6.
   * @param {{conditions?: Conditions}} [options]
   * @returns {Promise<Batch>}
   */
  async decode(z, options) {
    const { conditions } = asOptions("decode", options, ONLY_CONDITIONS);
    const latents = asBatch(z, "z", this.latentShape, LATENT_RANGE, null);
    return this.runDecoder(latents, this.asConditions(conditions, latents.shape[0]));
  }

  /**
   * Return the parameters of p(x|z) for each latent, by name.
   *
   * @param {Examples} z As for `decode`.
   * @param {{conditions?: Conditions}} [options]
   * @returns {Promise<Record<string, Batch>>}
   */
  async parameters(z, options) {
    const { conditions } = asOptions("parameters", options, ONLY_CONDITIONS);
    const latents = asBatch(z, "z", this.latentShape, LATENT_RANGE, null);
    const found = await this.runParameters(latents, this.asConditions(conditions, latents.shape[0]));
    return Object.fromEntries(this.manifest.parameters.map((name, index) => [name, found[index]]));
  }

  /**
   * Draw latents from the prior p(z). The same seed gives the same latents as in Python.
   *
   * @param {number} n Number of latents.
   * @param {{seed?: unknown}} [options] `seed`: number, BigInt or decimal string; null uses fresh entropy.
   * @returns {Batch}
   */
  samplePrior(n, options) {
    const { seed } = asOptions("samplePrior", options, { seed: null });
    return this.prior.sample(asCount(n, "n"), seed);
  }

  /**
   * Draw latents from the prior, and return the mean of p(x|z) for each of them, or a draw from p(x|z).
   *
   * @param {number} n Number of samples.
   * @param {{seed?: unknown, draw?: boolean, conditions?: Conditions}} [options] `draw`: draw x from p(x|z) instead of
   *   taking its mean.
   * @returns {Promise<Batch>}
   */
  async sample(n, options) {
    const defaults = { seed: null, draw: false, conditions: undefined };
    const { seed, draw, conditions } = asOptions("sample", options, defaults);
    const values = this.asConditions(conditions, asCount(n, "n"));
    return this.runDecoder(this.prior.sample(n, seed), values, draw, seed);
  }

  /**
   * Encode examples, and decode the means of their posteriors or one draw from each posterior.
   *
   * @param {Examples} x
   * @param {{sample?: boolean, draw?: boolean, seed?: unknown, conditions?: Conditions}} [options] `sample`: draw z from
   *   q(z|x) instead of taking its mean. `draw`: draw x from p(x|z).
   * @returns {Promise<Batch>}
   */
  async reconstruct(x, options) {
    const defaults = { sample: false, draw: false, seed: null, conditions: undefined };
    const { sample, draw, seed, conditions } = asOptions("reconstruct", options, defaults);
    if (seed !== null && !sample && !draw) {
      throw new InputError("a seed was given, but reconstruct uses it only with sample=true or draw=true");
    }
    const examples = this.asExamples(x, "x");
    const values = this.asConditions(conditions, examples.shape[0]);
    const posterior = await this.runEncoder(examples, values);
    return this.runDecoder(sample ? samplePosterior(posterior, seed) : posterior.mean, values, draw, seed);
  }

  /**
   * Decode latents on the straight line between the posterior means of two examples.
   *
   * @param {Examples} a The first example, of shape inputShape, without a batch axis.
   * @param {Examples} b The last example, of shape inputShape, without a batch axis.
   * @param {{steps?: number, conditions?: Conditions}} [options] `steps`: number of latents, including both ends.
   * @returns {Promise<Batch>} [steps, ...inputShape].
   */
  async interpolate(a, b, options) {
    const { steps, conditions } = asOptions("interpolate", options, { steps: 8, conditions: undefined });
    const n = asCount(steps, "steps", 2);
    const { inputRange, encoding } = this.manifest;
    const ends = [asExample(a, "a", this.inputShape, inputRange, encoding)];
    ends.push(asExample(b, "b", this.inputShape, inputRange, encoding));
    const values = this.asConditions(conditions, n);
    const { mean } = await this.runEncoder(
      concatenate(ends[0], ends[1]),
      concatenateAll(sliceAll(values, 0, 1), sliceAll(values, n - 1, n)),
    );
    const length = mean.data.length / 2;
    const data = new Float32Array(n * length);
    for (let step = 0; step < n; step += 1) {
      const weight = Math.fround(step / (n - 1));
      for (let index = 0; index < length; index += 1) {
        const start = Math.fround(Math.fround(1 - weight) * mean.data[index]);
        data[step * length + index] = start + Math.fround(weight * mean.data[length + index]);
      }
    }
    return this.runDecoder({ data, shape: [n, ...this.latentShape] }, values);
  }

  /**
   * Return the importance-weighted bound on log p(x) of each example, in nats (Burda et al. 2016).
   *
   * @param {Examples} x For a Bernoulli, all values must be 0 or 1.
   * @param {{k?: number, seed?: unknown, conditions?: Conditions}} [options] `k`: number of draws of z per example.
   * @returns {Promise<Float64Array>} One bound per example.
   */
  async logProb(x, options) {
    const values = asOptions("logProb", options, BOUNDS_OPTIONS);
    requireScorable(this.manifest.likelihood);
    return (await this.bounds(x, values)).bound;
  }

  /**
   * Return the importance-weighted bound, the ELBO, the rate and the distortion of each example, in nats.
   *
   * @param {Examples} x As for `logProb`.
   * @param {{k?: number, seed?: unknown, conditions?: Conditions}} [options] As for `logProb`.
   * @returns {Promise<Bounds>}
   */
  async bounds(x, options) {
    const { k, seed, conditions } = asOptions("bounds", options, BOUNDS_OPTIONS);
    const draws = asCount(k, "k");
    const examples = this.asExamples(x, "x");
    const likelihood = this.likelihoodOf(examples);
    const { encode, decode } = this.steps(examples, this.asConditions(conditions, examples.shape[0]));
    return estimateBounds(examples, encode, decode, this.prior, likelihood, { k: draws, seed });
  }

  /**
   * Decide for each example whether it is an anomaly. The bundle needs a calibration.
   *
   * @param {Examples} x As for `logProb`.
   * @param {{falseAlarmRate?: number, maps?: boolean, conditions?: Conditions}} [options] `maps`: whether to return the
   *   distortion of each element, too.
   * @returns {Promise<Detection>}
   */
  async detect(x, options) {
    const defaults = { falseAlarmRate: 0.01, maps: false, conditions: undefined };
    const { falseAlarmRate, maps, conditions } = asOptions("detect", options, defaults);
    if (!this.calibration) {
      throw new InputError(
        `variant ${this.variant} of ${this.manifest.name} has no calibration, which detection needs: run ` +
          "`vaedge calibrate BUNDLE NORMAL_EXAMPLES --out FILE.npz`, and export the bundle with this calibration",
      );
    }
    const rate = this.calibration.requireRate(falseAlarmRate);
    const examples = this.asExamples(x, "x");
    const likelihood = this.likelihoodOf(examples);
    const { encode, decode } = this.steps(examples, this.asConditions(conditions, examples.shape[0]));
    const batchSize = this.opened.decoder.rowsPerRun;
    const terms = await computeTerms(examples, encode, decode, this.prior, likelihood, { batchSize, maps });
    const score = this.calibration.score.of(terms);
    const pValue = this.calibration.pValues(score);
    return { ...terms, score, pValue, isAnomaly: [...pValue].map((value) => value <= rate) };
  }

  /**
   * Run the graphs on the inputs that the exporter stored, and compare the results with the stored outputs.
   *
   * @returns {Promise<import("./check.js").CheckReport>}
   */
  async check() {
    return checkModel(this, this.opened);
  }

  /** Release the sessions and their memory. Later calls throw ClosedError. */
  async close() {
    const model = this.model;
    this.model = null;
    if (model) await Promise.all([model.encoder.close(), model.decoder.close()]);
  }

  /** The opened variant. After `close`, this property throws ClosedError. */
  get opened() {
    if (!this.model) throw new ClosedError("this VAE was closed: load the bundle again");
    return this.model;
  }

  /**
   * @param {Batch} x
   * @param {Record<string, Input>} conditions
   * @returns {Promise<Posterior>}
   */
  async runEncoder(x, conditions) {
    const [mean, logVar] = await this.opened.encoder.run({ x, ...conditions }, ["mean", "log_var"]);
    return { mean, logVar };
  }

  /**
   * Return the means of p(x|z), or draws from p(x|z).
   *
   * @param {Batch} z
   * @param {Record<string, Input>} conditions
   * @param {boolean} [draw]
   * @param {unknown} [seed] Seed of the draws.
   */
  async runDecoder(z, conditions, draw = false, seed = null) {
    if (!draw) return (await this.opened.decoder.run({ z, ...conditions }, ["x"]))[0];
    const likelihood = requireDrawable(this.manifest.likelihood, this.manifest.logScaleRange);
    return drawFrom(likelihood, await this.runParameters(z, conditions), thirdGenerator(seed));
  }

  /**
   * @param {Batch} z
   * @param {Record<string, Input>} conditions
   */
  runParameters(z, conditions) {
    return this.opened.decoder.run({ z, ...conditions }, [...this.manifest.parameters]);
  }

  /**
   * Return the functions that `estimateBounds` and `computeTerms` call.
   *
   * @param {Batch} x
   * @param {Record<string, Input>} conditions
   * @returns {{encode: import("./bounds.js").Encode, decode: import("./bounds.js").Decode}}
   */
  steps(x, conditions) {
    return {
      encode: (start, end) => this.runEncoder(rowsOf(x, start, end), sliceAll(conditions, start, end)),
      decode: (z, start, end) => {
        const draws = z.shape[0] / (end - start);
        return this.runParameters(z, repeatAll(sliceAll(conditions, start, end), draws));
      },
    };
  }

  /** @param {Batch} x */
  likelihoodOf(x) {
    const { likelihood, logScaleRange } = this.manifest;
    return requireScorable(likelihood, x.data, { surrogate: true, logScaleRange });
  }

  /**
   * @param {Examples} x
   * @param {string} name
   */
  asExamples(x, name) {
    return asBatch(x, name, this.inputShape, this.manifest.inputRange, this.manifest.encoding);
  }

  /**
   * @param {Conditions | undefined} given
   * @param {number} n
   */
  asConditions(given, n) {
    return asConditions(given, this.manifest.conditions, n);
  }
}
