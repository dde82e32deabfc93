/**
 * Anomaly detection: deterministic scores, and p-values from normal examples that were not used for training.
 *
 * @typedef {import("./batches.js").Batch} Batch
 * @typedef {import("./prior.js").NpzArray} NpzArray
 * @typedef {import("./prior.js").Prior} Prior
 * @typedef {import("./likelihoods.js").Likelihood} Likelihood
 * @typedef {import("./bounds.js").Encode} Encode
 * @typedef {import("./bounds.js").Decode} Decode
 *
 * @typedef {object} Terms The two terms of each example in nats. Here, z is the mean of q(z|x).
 * @property {Float64Array} distortion -log p(x|z). For bce_surrogate, it is the cross-entropy.
 * @property {Float64Array} rate log q(z|x) - log p(z).
 * @property {Batch | null} maps Distortion of each element of x, or null.
 */

import { rowSums } from "./bounds.js";
import { BundleError, InputError } from "./errors.js";
import { elementLogProbs } from "./likelihoods.js";
import { describe, general, tuple, withCommas } from "./messages.js";
import { rowsOf } from "./batches.js";

const LOG_2PI = Math.log(2 * Math.PI);
const ARRAYS = ["points", "scores", "evaluation", "map_range", "model"];
const MAX_POINTS = 1000;
/** Share of the normal examples to which `vaedge calibrate` fits the score. */
const FIT = 0.2;
/** Minimum standard deviation of a term, relative to the largest absolute value of the term. */
const MIN_RELATIVE_SPREAD = 1e-4;

/**
 * Compute the terms of each example.
 *
 * @param {Batch} x Examples, already validated.
 * @param {Encode} encode
 * @param {Decode} decode
 * @param {Prior} prior
 * @param {Likelihood} likelihood
 * @param {{batchSize: number, maps?: boolean}} options Number of examples that are encoded and decoded at once, and
 *   whether to return the distortion of each element.
 * @returns {Promise<Terms>}
 */
export async function computeTerms(x, encode, decode, prior, likelihood, { batchSize, maps = false }) {
  const n = x.shape[0];
  const distortion = new Float64Array(n);
  const rate = new Float64Array(n);
  const distortions = maps ? new Float32Array(x.data.length) : null;
  for (let start = 0; start < n; start += batchSize) {
    const end = Math.min(n, start + batchSize);
    const { mean, logVar } = await encode(start, end);
    const elements = elementLogProbs(likelihood, rowsOf(x, start, end), await decode(mean, start, end));
    const constant = (mean.data.length / (end - start)) * LOG_2PI;
    const logPrior = prior.logProb(mean);
    distortion.set(
      rowSums(elements).map((sum) => -sum),
      start,
    );
    rate.set(
      rowSums(logVar).map((sum, row) => -0.5 * (sum + constant) - logPrior[row]),
      start,
    );
    distortions?.set(
      elements.data.map((value) => -value),
      start * (x.data.length / n),
    );
  }
  return { distortion, rate, maps: distortions && { data: distortions, shape: [...x.shape] } };
}

/**
 * Return the calibration that a file holds.
 *
 * @param {Map<string, NpzArray>} arrays The arrays of the file.
 * @param {string} modelSha256 SHA-256 that identifies the graphs and the prior of the loaded variant.
 * @returns {Calibration}
 * @throws {BundleError} The arrays are not a calibration, or are the calibration of another model.
 */
export function readCalibration(arrays, modelSha256) {
  const [points, scores, evaluation, mapRange, model] = ARRAYS.map((name) => arrays.get(name));
  if (!points || !scores || !evaluation || !mapRange || !model || arrays.size !== ARRAYS.length) {
    throw new BundleError(`the file holds the arrays ${[...arrays.keys()].join(", ")}; expected ${ARRAYS.join(", ")}`);
  }
  const bytes = model.data instanceof BigInt64Array && tuple(model.shape) === "(32,)" ? [...model.data] : [-1n];
  if (!bytes.every((value) => value >= 0n && value < 256n)) {
    throw new BundleError("the array 'model' must hold 32 int64 numbers from 0 to 255, the bytes of a SHA-256");
  }
  if (bytes.map((value) => value.toString(16).padStart(2, "0")).join("") !== modelSha256) {
    throw new BundleError(
      "the calibration belongs to another bundle or to another variant; run `vaedge calibrate` for this bundle and " +
        "this variant",
    );
  }
  return new Calibration(new Score(points), ascending(scores, "scores"), ascending(evaluation, "evaluation"), mapRange);
}

/** The calibration of one variant of a bundle: the scores of normal examples, which turn a score into a p-value. */
export class Calibration {
  /**
   * @param {Score} score The fitted score.
   * @param {Float32Array} scores Scores of the calibration examples in ascending order.
   * @param {Float32Array} evaluation Scores of the evaluation examples in ascending order.
   * @param {NpzArray} mapRange Two distortions of single elements of x in normal examples, in nats: a typical one,
   *   and a large one.
   * @throws {BundleError} `mapRange` does not hold two ascending numbers.
   */
  constructor(score, scores, evaluation, mapRange) {
    const limits = mapRange.data;
    const isRange = limits instanceof Float32Array && tuple(mapRange.shape) === "(2,)" && limits.every(Number.isFinite);
    if (!isRange || limits[0] >= limits[1]) {
      throw new BundleError("map_range must hold two finite float32 numbers in ascending order");
    }
    this.score = score;
    this.scores = scores;
    this.evaluation = evaluation;
    this.mapRange = limits;
  }

  /** The smallest false-alarm rate that is allowed, which is the smallest p-value, 1 / (n + 1). */
  get smallestRate() {
    return 1 / (this.scores.length + 1);
  }

  /**
   * Return the p-value of each score: (1 + number of calibration scores at least as large) / (n + 1).
   *
   * @param {Float32Array} scores
   */
  pValues(scores) {
    const n = this.scores.length;
    return Float64Array.from(scores, (score) => (1 + n - firstAtLeast(this.scores, score)) / (n + 1));
  }

  /**
   * Validate a false-alarm rate, and return it.
   *
   * @param {unknown} rate
   * @returns {number}
   * @throws {InputError} The rate is not a number between 0 and 1, or is smaller than the smallest p-value.
   */
  requireRate(rate) {
    if (typeof rate !== "number" || !(rate > 0 && rate < 1)) {
      throw new InputError(`falseAlarmRate is ${describe(rate)}; expected a number above 0 and below 1`);
    }
    if (rate < this.smallestRate) {
      const n = this.scores.length;
      const examples = 1 / rate - 1;
      throw new InputError(
        `falseAlarmRate is ${general(rate)}, but ${withCommas(n)} calibration examples do not allow rates below ` +
          `1/${n + 1}; falseAlarmRate ${general(rate)} needs at least ${withCommas(Math.ceil(examples))} ` +
          `calibration examples, so give \`calibrate\` about ` +
          `${withCommas(Math.ceil(examples / (0.5 - FIT / 2)))} normal examples`,
      );
    }
    return rate;
  }
}

/**
 * The anomaly score: the negative logarithm of a kernel density estimate for the pair (distortion, rate). The estimate
 * is fitted to normal examples. The page "Bundle format" has the formulas.
 */
export class Score {
  /**
   * @param {NpzArray} points Distortion and rate of the normal examples in nats, float32, shape [m, 2].
   * @throws {BundleError} The points have a wrong shape or type, or are not finite.
   */
  constructor({ data, shape }) {
    const [m, columns] = shape;
    if (!(data instanceof Float32Array) || shape.length !== 2 || columns !== 2 || !(m >= 2 && m <= MAX_POINTS)) {
      throw new BundleError(
        `the points are ${typeOf(data)} of shape ${tuple(shape)}; expected float32 of shape (m, 2), with m from 2 to ` +
          `${MAX_POINTS}`,
      );
    }
    if (!data.every(Number.isFinite)) throw new BundleError("the points hold NaN or infinity");
    const distortion = Float64Array.from({ length: m }, (_, row) => data[2 * row]);
    const rate = Float64Array.from({ length: m }, (_, row) => data[2 * row + 1]);
    this.meanDistortion = mean(distortion);
    this.meanRate = mean(rate);
    const deviation = distortion.map((value) => value - this.meanDistortion);
    const spread = spreadOf(distortion, largest(distortion));
    this.slope = mean(deviation.map((value, row) => value * (rate[row] - this.meanRate))) / spread ** 2;
    const residual = rate.map((value, row) => value - this.slope * deviation[row]);
    const bandwidth = m ** (-1 / 6);
    this.distortionScale = 1 / (bandwidth * spread);
    this.rateScale = 1 / (bandwidth * spreadOf(residual, largest(rate)));
    this.points = this.whiten(distortion, rate);
  }

  /**
   * Return the score of each example. Terms that are not finite give infinity.
   *
   * @param {{distortion: Float64Array, rate: Float64Array}} terms
   */
  of({ distortion, rate }) {
    const { first, second } = this.whiten(distortion, rate);
    return first.map((value, row) => {
      const score = this.minusLogDensity(value, second[row]);
      return Number.isNaN(score) ? Infinity : score;
    });
  }

  /**
   * Return the two coordinates of u for each example, rounded to float32. The page "Bundle format" defines u.
   *
   * @param {Float64Array} distortion
   * @param {Float64Array} rate
   */
  whiten(distortion, rate) {
    const deviation = distortion.map((value) => value - this.meanDistortion);
    const residual = rate.map((value, row) => value - this.meanRate - this.slope * deviation[row]);
    return {
      first: Float32Array.from(deviation, (value) => value * this.distortionScale),
      second: Float32Array.from(residual, (value) => value * this.rateScale),
    };
  }

  /**
   * @param {number} first
   * @param {number} second
   */
  minusLogDensity(first, second) {
    const { points } = this;
    const squares = Float64Array.from(points.first, (value, point) => {
      return (first - value) ** 2 + (second - points.second[point]) ** 2;
    });
    const nearest = squares.reduce((a, b) => Math.min(a, b));
    return 0.5 * nearest - Math.log(mean(squares.map((square) => Math.exp(-0.5 * (square - nearest)))));
  }
}

/**
 * Validate an array of scores, and return its data.
 *
 * @param {NpzArray} array
 * @param {string} name
 */
function ascending({ data, shape }, name) {
  if (!(data instanceof Float32Array) || shape.length !== 1 || !data.length) {
    throw new BundleError(`${name} is ${typeOf(data)} of shape ${tuple(shape)}; expected float32 of shape (n,)`);
  }
  if (!data.every((value, index) => value >= (index ? data[index - 1] : 0))) {
    throw new BundleError(`${name} must hold non-negative numbers in ascending order`);
  }
  return data;
}

/**
 * Return the position of the first score that is at least as large as `score`.
 *
 * @param {Float32Array} scores Scores in ascending order.
 * @param {number} score
 */
function firstAtLeast(scores, score) {
  let low = 0;
  let high = scores.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (scores[middle] >= score) high = middle;
    else low = middle + 1;
  }
  return low;
}

/**
 * Return the standard deviation of values, but at least MIN_RELATIVE_SPREAD * max(1, size).
 *
 * @param {Float64Array} values Values of a term of the score.
 * @param {number} size Largest absolute value of this term.
 */
function spreadOf(values, size) {
  const center = mean(values);
  const deviation = Math.sqrt(mean(values.map((value) => (value - center) ** 2)));
  return Math.max(deviation, MIN_RELATIVE_SPREAD * Math.max(1, size));
}

/** @param {Float64Array} values */
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
/** @param {Float64Array} values */
const largest = (values) => values.reduce((maximum, value) => Math.max(maximum, Math.abs(value)), 0);
/** @param {unknown} data */
const typeOf = (data) => (data instanceof Float32Array ? "float32" : "int64");
