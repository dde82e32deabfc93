/**
 * The likelihoods p(x|z) that a manifest can name: log-densities and draws of each element.
 *
 * The functions of log-densities round every step to float32, as the Python runtime does. The caller sums the elements
 * of each example in float64. A draw is computed in float64 and rounded once to float32.
 *
 * @typedef {import("./batches.js").Batch} Batch
 * @typedef {import("./random.js").Generator} Generator
 *
 * @typedef {object} Likelihood
 * @property {(x: number, first: number, second: number) => number} logProb Takes an element of x and of each
 *   parameter, and returns log p(x|z) of the element in nats. A missing second parameter is NaN.
 * @property {((noise: number, first: number, second: number) => number) | null} draw Takes noise and an element of each
 *   parameter, and returns a draw of the element. null if p(x|z) is not normalized.
 * @property {boolean} normalNoise Whether `draw` takes N(0, 1) noise instead of uniform noise in [0, 1).
 * @property {boolean} normalized Whether p(x|z) is a normalized distribution over x.
 * @property {boolean} binary Whether all values of x must be 0 or 1.
 */

import { InputError } from "./errors.js";
import { quote } from "./messages.js";

const f = Math.fround;
const HALF_LOG_2PI = f(0.5 * Math.log(2 * Math.PI));
const LOG_2 = f(Math.log(2));
const TENTH = f(0.1);
const LEVELS = 255;
const HALF_BIN = f(0.5 / LEVELS);
const LAST_BIN = f(1 - HALF_BIN);

/** @param {number} value */
const exp = (value) => f(Math.exp(value));
/** @param {number} value */
const log = (value) => f(Math.log(value));
/** @param {number} value */
const softplus = (value) => f(Math.max(value, 0) + f(Math.log1p(exp(-Math.abs(value)))));
/** @param {number} value */
const unit = (value) => Math.min(Math.max(value, 0), 1);

/**
 * @param {number} x
 * @param {number} logits
 */
function bernoulli(x, logits) {
  return f(f(x * logits) - softplus(logits));
}

/**
 * Return log p of the Bernoulli plus the logarithm of a normalizing constant (Loaiza-Ganem & Cunningham 2019).
 *
 * Near logits = 0 the formula of the constant would divide 0 by 0. Its Taylor series replaces the formula there.
 *
 * @param {number} x
 * @param {number} logits
 */
function continuousBernoulli(x, logits) {
  const size = Math.abs(logits);
  const constant =
    size < TENTH ? f(LOG_2 + logits ** 2 / 12 - (7 * logits ** 4) / 1440) : f(log(size) - log(f(Math.tanh(size / 2))));
  return f(constant + bernoulli(x, logits));
}

/**
 * @param {number} x
 * @param {number} loc
 * @param {number} logScale
 */
function gaussian(x, loc, logScale) {
  const standardized = f(f(x - loc) * exp(-logScale));
  return f(f(-0.5 * f(standardized * standardized) - logScale) - HALF_LOG_2PI);
}

/**
 * Return the logarithm of the mass that a logistic distribution has in the bin of x.
 *
 * There are 256 bins. The first and the last bin extend to infinity. S is the sigmoid. Let a and b be the edges of a
 * bin, minus loc and divided by the scale. The mass of the bin is S(b) - S(a) = S(b) S(-a) (1 - exp(a - b)).
 *
 * @param {number} x
 * @param {number} loc
 * @param {number} logScale
 */
function discretizedLogistic(x, loc, logScale) {
  const inverseScale = exp(-logScale);
  const below = -softplus(f(-f(f(x + HALF_BIN) - loc) * inverseScale));
  const above = -softplus(f(f(f(x - HALF_BIN) - loc) * inverseScale));
  if (x < HALF_BIN) return below;
  if (x > LAST_BIN) return above;
  return f(f(below + above) + log(-f(Math.expm1(f(-2 * HALF_BIN * inverseScale)))));
}

/**
 * @param {number} u
 * @param {number} logits
 */
function drawBernoulli(u, logits) {
  return u < 1 / (1 + Math.exp(-logits)) ? 1 : 0;
}

/**
 * Return the x with F(x) = u, where F(x) = expm1(l x) / expm1(l) is the cumulative distribution function.
 *
 * l is the logit. If it is positive, expm1(l) could overflow. For such l, the function uses the symmetry of the
 * distributions of l and -l: 1 - x is the solution for -l and 1 - u.
 *
 * @param {number} u
 * @param {number} logits
 */
function drawContinuousBernoulli(u, logits) {
  const negative = -Math.abs(logits);
  const v = logits > 0 ? 1 - u : u;
  const t = negative === 0 ? v : Math.log1p(v * Math.expm1(negative)) / negative;
  return unit(logits > 0 ? 1 - t : t);
}

/**
 * @param {number} normal
 * @param {number} loc
 * @param {number} logScale
 */
function drawGaussian(normal, loc, logScale) {
  return loc + Math.exp(logScale) * normal;
}

/**
 * Find the x at which the cumulative distribution function of the logistic is u, and return the nearest level.
 *
 * @param {number} u
 * @param {number} loc
 * @param {number} logScale
 */
function drawDiscretizedLogistic(u, loc, logScale) {
  const x = unit(loc + Math.exp(logScale) * (Math.log(u) - Math.log1p(-u))) * LEVELS;
  return (x + 2 ** 52 - 2 ** 52) / LEVELS; // float64 has no fractions above 2^52, so the sum rounds to an integer
}

const DEFAULTS = { draw: null, normalNoise: false, normalized: true, binary: false };

/** @type {Readonly<Record<string, Likelihood>>} */
export const LIKELIHOODS = {
  bernoulli: { ...DEFAULTS, logProb: bernoulli, draw: drawBernoulli, binary: true },
  bce_surrogate: { ...DEFAULTS, logProb: bernoulli, normalized: false },
  continuous_bernoulli: { ...DEFAULTS, logProb: continuousBernoulli, draw: drawContinuousBernoulli },
  gaussian: { ...DEFAULTS, logProb: gaussian, draw: drawGaussian, normalNoise: true },
  discretized_logistic: { ...DEFAULTS, logProb: discretizedLogistic, draw: drawDiscretizedLogistic },
};

/**
 * Look up a likelihood by its name, and check that it can compute log p(x|z).
 *
 * @param {string} name Name of the likelihood, from the manifest.
 * @param {Float32Array | null} [x] Data to score, or null.
 * @param {{surrogate?: boolean, logScaleRange?: readonly number[] | null}} [options] `surrogate`: whether a likelihood
 *   that is not normalized is allowed. `logScaleRange`: minimum and maximum to which log_scale is clipped, or null.
 * @returns {Likelihood}
 * @throws {InputError} The likelihood is unknown, is not normalized, or cannot score values of `x`.
 */
export function requireScorable(name, x = null, { surrogate = false, logScaleRange = null } = {}) {
  const likelihood = lookUp(name, "compute");
  if (!likelihood.normalized && !surrogate) {
    throw new InputError(
      `this model was trained with ${name}, which is not a normalized distribution of x. Therefore log p(x) does not ` +
        "exist for this model",
    );
  }
  if (x && likelihood.binary && !x.every((value) => value === 0 || value === 1)) {
    throw new InputError("x holds values other than 0 and 1, but the likelihood is a Bernoulli: binarize x");
  }
  return logScaleRange ? clipped(likelihood, logScaleRange) : likelihood;
}

/**
 * Look up a likelihood by its name, and check that x can be drawn from it.
 *
 * @param {string} name Name of the likelihood, from the manifest.
 * @param {readonly number[] | null} [logScaleRange] As for `requireScorable`.
 * @returns {Likelihood}
 * @throws {InputError} The likelihood is unknown or is not normalized.
 */
export function requireDrawable(name, logScaleRange = null) {
  const likelihood = lookUp(name, "draw from");
  if (!likelihood.draw) {
    throw new InputError(
      `this model was trained with ${name}, which is not a distribution of x: nothing can be drawn from it. Omit ` +
        "draw to get the means, or train with another likelihood",
    );
  }
  return logScaleRange ? clipped(likelihood, logScaleRange) : likelihood;
}

/**
 * @param {string} name
 * @param {string} verb
 */
function lookUp(name, verb) {
  if (!Object.hasOwn(LIKELIHOODS, name)) {
    const known = Object.keys(LIKELIHOODS).join(", ");
    throw new InputError(
      `this release of vaedge cannot ${verb} the likelihood ${quote(name)}; expected one of ${known}`,
    );
  }
  return LIKELIHOODS[name];
}

/**
 * Return a likelihood that clips log_scale to limits, and otherwise equals the given likelihood.
 *
 * @param {Likelihood} likelihood A likelihood with the parameters loc and log_scale.
 * @param {readonly number[]} limits
 * @returns {Likelihood}
 */
function clipped(likelihood, [low, high]) {
  /** @param {number} logScale */
  const clip = (logScale) => Math.min(Math.max(logScale, low), high);
  const { logProb, draw: drawElement } = likelihood;
  return {
    ...likelihood,
    logProb: (x, loc, logScale) => logProb(x, loc, f(clip(logScale))),
    draw: drawElement && ((noise, loc, logScale) => drawElement(noise, loc, clip(logScale))),
  };
}

/**
 * Return log p(x|z) of each element in nats.
 *
 * @param {Likelihood} likelihood
 * @param {Batch} x n examples.
 * @param {readonly Batch[]} parameters The parameters of p(x|z), n * k rows each. The parameters
 *   for each row of x are in k consecutive rows.
 * @returns {Batch} n * k rows.
 */
export function elementLogProbs(likelihood, x, parameters) {
  const [first, second] = parameters.map((parameter) => parameter.data);
  const data = new Float32Array(first.length);
  const length = x.data.length / x.shape[0];
  const draws = first.length / x.data.length;
  for (let row = 0; row * length < data.length; row += 1) {
    const example = Math.floor(row / draws) * length;
    for (let index = 0; index < length; index += 1) {
      const at = row * length + index;
      data[at] = likelihood.logProb(x.data[example + index], first[at], second ? second[at] : NaN);
    }
  }
  return { data, shape: [...parameters[0].shape] };
}

/**
 * Draw x from p(x|z). Each call continues the stream, so the rows do not depend on their division into calls.
 *
 * @param {Likelihood} likelihood From `requireDrawable`.
 * @param {readonly Batch[]} parameters The parameters of p(x|z), n rows each.
 * @param {Generator} rng The stream `thirdGenerator(seed)`.
 * @returns {Batch} n rows.
 */
export function draw(likelihood, parameters, rng) {
  const { draw: drawElement, normalNoise } = likelihood;
  if (!drawElement)
    throw new InputError("x cannot be drawn from this likelihood; pass a likelihood that requireDrawable returned");
  const [first, second] = parameters.map((parameter) => parameter.data);
  const data = new Float32Array(first.length);
  for (let at = 0; at < data.length; at += 1) {
    const noise = normalNoise ? rng.standardNormal() : rng.nextDouble();
    data[at] = drawElement(noise, first[at], second ? second[at] : NaN);
  }
  return { data, shape: [...parameters[0].shape] };
}
