/**
 * The prior p(z): N(0, I), or a mixture of diagonal Gaussians whose constants are stored in the bundle.
 *
 * @typedef {import("./batches.js").Batch} Batch
 * @typedef {{data: ArrayLike<number | bigint>, shape: number[]}} NpzArray An array of a .npz file.
 * @typedef {StandardNormal | Mixture} Prior
 */

import { elementsOf, isEqual } from "./arrays.js";
import { BundleError } from "./errors.js";
import { general, quote, tuple } from "./messages.js";
import { standardDeviation } from "./posterior.js";
import { generator, secondGenerator } from "./random.js";

const LOG_2PI = Math.log(2 * Math.PI);
/** The weights were rounded to float32, so their sum may differ from 1 by this much. */
const WEIGHTS_TOLERANCE = 1e-4;
const MAX_MEAN = 1e6;
const MAX_LOG_VAR = 100;
const MAX_STD = Math.exp(MAX_LOG_VAR / 2) * 1.001;
/** Uniform draws are multiples of 1 / 2^53. */
const UNIT = 2 ** 53;

/**
 * Return the prior that a manifest names.
 *
 * @param {{prior: string, latentShape: readonly number[]}} manifest
 * @param {Map<string, NpzArray> | null} arrays The arrays of the prior's file, or null if the prior has no file.
 * @returns {Prior}
 * @throws {BundleError} The arrays are invalid, or describe a prior over latents of another shape.
 */
export function readPrior(manifest, arrays) {
  if (manifest.prior === "mixture") return readMixture(arrays, manifest.latentShape);
  if (arrays) throw new BundleError(`the prior ${manifest.prior} needs no file of constants, but the bundle has one`);
  return new StandardNormal(manifest.latentShape);
}

/** The prior N(0, I). */
export class StandardNormal {
  /** @param {readonly number[]} latentShape Shape of one z. */
  constructor(latentShape) {
    this.latentShape = latentShape;
  }

  /**
   * Draw n latents. The same seed gives the same latents, and the first rows do not depend on n.
   *
   * @param {number} n
   * @param {unknown} seed A non-negative integer, or null for fresh entropy.
   * @returns {Batch}
   */
  sample(n, seed) {
    const shape = [n, ...this.latentShape];
    return { data: generator(seed).fillNormals(new Float32Array(elementsOf(shape))), shape };
  }

  /**
   * Return log p(z) of each z in nats.
   *
   * @param {Batch} z
   */
  logProb(z) {
    const length = elementsOf(this.latentShape);
    const result = new Float64Array(z.shape[0]);
    for (let row = 0; row < result.length; row += 1) {
      let sum = length * LOG_2PI;
      for (let index = row * length; index < (row + 1) * length; index += 1) sum += z.data[index] ** 2;
      result[row] = -0.5 * sum;
    }
    return result;
  }
}

/** A mixture of K diagonal Gaussians. */
export class Mixture {
  /**
   * @param {NpzArray} mean Means, float32, shape [K, ...latentShape].
   * @param {NpzArray} std Standard deviations, float32, shape [K, ...latentShape].
   * @param {NpzArray} cumulative Cumulative weights in units of 2^-53, int64, shape [K]. The last one is 2^53.
   * @throws {BundleError} The arrays do not describe a mixture.
   */
  constructor(mean, std, cumulative) {
    if (!isFloat32(mean.data) || !isFloat32(std.data) || !(cumulative.data instanceof BigInt64Array)) {
      throw new BundleError("the prior's arrays mean and std must be float32, and its array cumulative must be int64");
    }
    const [components, ...latentShape] = mean.shape;
    const hasParameters = latentShape.length > 0 && mean.data.length > 0 && isEqual(std.shape, mean.shape);
    if (!hasParameters || !isEqual(cumulative.shape, [components])) {
      throw new BundleError(
        `the prior's arrays have the shapes ${tuple(mean.shape)} (mean), ${tuple(std.shape)} (std) and ` +
          `${tuple(cumulative.shape)} (cumulative); expected (K, ...), (K, ...) and (K,) for K components`,
      );
    }
    if (!mean.data.every((value) => Math.abs(value) <= MAX_MEAN)) {
      throw new BundleError(`the prior's mean holds NaN, or absolute values above ${general(MAX_MEAN)}`);
    }
    if (!std.data.every((value) => value > 0 && value <= MAX_STD)) {
      throw new BundleError(`the prior's std holds NaN, or values outside of 0 to ${general(MAX_STD, 3)}`);
    }
    const limits = cumulative.data;
    const ascends = limits.every((value, index) => value >= (index ? limits[index - 1] : 0n));
    if (!ascends || limits[components - 1] !== BigInt(UNIT)) {
      throw new BundleError("the prior's cumulative weights must start at 0 or above, never decrease, and end at 2^53");
    }
    this.latentShape = latentShape;
    this.mean = mean.data;
    this.std = std.data;
    /** Cumulative weights. They are integers that float64 represents exactly. */
    this.cumulative = Float64Array.from(limits, Number);
  }

  /**
   * Draw n latents. For each row, a component is chosen with its weight as the probability, and z is drawn from it.
   *
   * @param {number} n
   * @param {unknown} seed A non-negative integer, or null for fresh entropy.
   * @returns {Batch}
   */
  sample(n, seed) {
    const shape = [n, ...this.latentShape];
    const length = elementsOf(this.latentShape);
    const data = generator(seed).fillNormals(new Float32Array(n * length));
    const uniform = secondGenerator(seed);
    for (let row = 0; row < n; row += 1) {
      const first = this.componentAt(uniform.nextDouble() * UNIT) * length;
      for (let index = 0; index < length; index += 1) {
        const at = row * length + index;
        // float64 represents the product of two float32 numbers exactly, so it is rounded once, as in float32.
        data[at] = this.mean[first + index] + Math.fround(this.std[first + index] * data[at]);
      }
    }
    return { data, shape };
  }

  /**
   * Return the first component whose cumulative weight is larger than `position`.
   *
   * @param {number} position
   */
  componentAt(position) {
    let low = 0;
    let high = this.cumulative.length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.cumulative[middle] > position) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /**
   * Return log p(z) of each z in nats.
   *
   * @param {Batch} z
   */
  logProb(z) {
    const { mean, std, cumulative } = this;
    const length = elementsOf(this.latentShape);
    const precision = Float64Array.from(std, (value) => 1 / value);
    const constants = cumulative.map((value, component) => {
      const weight = (value - (component ? cumulative[component - 1] : 0)) / UNIT;
      return std
        .subarray(component * length, (component + 1) * length)
        .reduce((sum, deviation) => sum - Math.log(deviation), Math.log(weight) - 0.5 * length * LOG_2PI);
    });
    const exponents = new Float64Array(constants.length);
    return new Float64Array(z.shape[0]).map((_, row) => {
      const first = row * length;
      for (let component = 0; component < exponents.length; component += 1) {
        const offset = component * length;
        let squares = 0;
        for (let index = 0; index < length; index += 1) {
          squares += ((z.data[first + index] - mean[offset + index]) * precision[offset + index]) ** 2;
        }
        exponents[component] = constants[component] - 0.5 * squares;
      }
      return logSumExp(exponents);
    });
  }
}

/**
 * Return log(sum(exp(values))).
 *
 * @param {Float64Array} values
 */
function logSumExp(values) {
  const largest = values.reduce((a, b) => Math.max(a, b), -Infinity);
  return largest + Math.log(values.reduce((sum, value) => sum + Math.exp(value - largest), 0));
}

/**
 * Return the mixture that the file of the prior describes.
 *
 * @param {Map<string, NpzArray> | null} arrays
 * @param {readonly number[]} latentShape
 */
function readMixture(arrays, latentShape) {
  if (!arrays) throw new BundleError("the prior mixture needs a file of constants");
  const names = arrays.has("log_weights") ? ["log_weights", "mean", "log_var"] : ["mean", "std", "cumulative"];
  const [first, second, third] = names.map((name) => {
    const array = arrays.get(name);
    if (!array) throw new BundleError(`the prior has no array ${quote(name)}`);
    return array;
  });
  const mixture = names[0] === "mean" ? new Mixture(first, second, third) : mixtureOfFormat1(first, second, third);
  if (!isEqual(mixture.latentShape, latentShape)) {
    throw new BundleError(
      `the prior's mean has the shape ${tuple([mixture.cumulative.length, ...mixture.latentShape])}; expected one ` +
        `mean of shape ${tuple(latentShape)} per component`,
    );
  }
  return mixture;
}

/**
 * Return the mixture that the parameters in a bundle of format 1 describe.
 *
 * @param {NpzArray} logWeights
 * @param {NpzArray} mean
 * @param {NpzArray} logVar
 */
function mixtureOfFormat1(logWeights, mean, logVar) {
  if (!isFloat32(logWeights.data) || !isFloat32(logVar.data)) {
    throw new BundleError("the prior's log_weights and log_var must be float32");
  }
  if (!logWeights.data.length || !isEqual(logWeights.shape, mean.shape.slice(0, 1))) {
    throw new BundleError(
      `the prior's log_weights have the shape ${tuple(logWeights.shape)}, and its mean has the shape ` +
        `${tuple(mean.shape)}; expected (K,) and (K, ...) for K components`,
    );
  }
  if (!logVar.data.every((value) => Math.abs(value) <= MAX_LOG_VAR)) {
    throw new BundleError(`the prior's log_var holds NaN, or absolute values above ${MAX_LOG_VAR}`);
  }
  let total = 0;
  const totals = Float64Array.from(logWeights.data, (value) => (total += Math.exp(value)));
  if (!(Math.abs(total - 1) <= WEIGHTS_TOLERANCE)) throw new BundleError("the prior's weights do not sum to one");
  const cumulative = BigInt64Array.from(totals, (value) => BigInt(Math.floor((value / total) * UNIT)));
  const std = { data: standardDeviation(logVar.data), shape: logVar.shape };
  return new Mixture(mean, std, { data: cumulative, shape: logWeights.shape });
}

/**
 * @param {unknown} data
 * @returns {data is Float32Array}
 */
const isFloat32 = (data) => data instanceof Float32Array;
