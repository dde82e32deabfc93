/**
 * The random numbers of numpy: `SeedSequence`, `PCG64`, uniform doubles and the normals of the ziggurat method.
 *
 * `new Generator(seed)` gives the numbers of `numpy.random.default_rng(seed)`. The page "Bundle format" specifies the
 * algorithms. Normals are drawn in float64. A caller that stores them in a Float32Array rounds each of them once.
 */

import { asSeed } from "./validation.js";
import { INVERSE_R, R, f, k, w } from "./ziggurat.js";

/** The multiplier of PCG64, 0x2360ed051fc65da44385df649fccf645, in limbs of 24 bits; the least significant first. */
const [M0, M1, M2, M3, M4, M5] = [0xccf645, 0xdf649f, 0xa44385, 0x1fc65d, 0x60ed05, 0x23];
const MULTIPLIER = 0x2360ed051fc65da44385df649fccf645n;
const LIMB = 2 ** -24;
const LIMB_MASK = 0xffffff;
/** Positions in the array of the generator: six limbs of the state, six of the increment, and two output words. */
const [INCREMENT, LOW, HIGH] = [6, 12, 13];

/** A stream of random numbers: `numpy.random.default_rng(entropy)`. */
export class Generator {
  /**
   * @param {bigint | bigint[] | null} entropy A non-negative integer, several of them, or null for fresh entropy.
   */
  constructor(entropy) {
    const words = seedWords(entropyWords(entropy ?? freshEntropy()));
    const increment = BigInt.asUintN(128, (number128(words, 4) << 1n) | 1n);
    const state = BigInt.asUintN(128, (increment + number128(words, 0)) * MULTIPLIER + increment);
    this.words = new Int32Array(14);
    for (let limb = 0; limb < 6; limb += 1) {
      const shift = 24n * BigInt(limb);
      this.words[limb] = Number((state >> shift) & 0xffffffn);
      this.words[INCREMENT + limb] = Number((increment >> shift) & 0xffffffn);
    }
  }

  /**
   * Advance the state, and write the next unsigned 64-bit number to the words LOW and HIGH.
   *
   * Products of two limbs and their sums are below 2^53. Therefore float64 represents them exactly.
   */
  advance() {
    const words = this.words;
    const [s0, s1, s2, s3, s4, s5] = [words[0], words[1], words[2], words[3], words[4], words[5]];
    let sum = s0 * M0 + words[INCREMENT];
    const t0 = sum & LIMB_MASK;
    sum = s0 * M1 + s1 * M0 + words[INCREMENT + 1] + (sum - t0) * LIMB;
    const t1 = sum & LIMB_MASK;
    sum = s0 * M2 + s1 * M1 + s2 * M0 + words[INCREMENT + 2] + (sum - t1) * LIMB;
    const t2 = sum & LIMB_MASK;
    sum = s0 * M3 + s1 * M2 + s2 * M1 + s3 * M0 + words[INCREMENT + 3] + (sum - t2) * LIMB;
    const t3 = sum & LIMB_MASK;
    sum = s0 * M4 + s1 * M3 + s2 * M2 + s3 * M1 + s4 * M0 + words[INCREMENT + 4] + (sum - t3) * LIMB;
    const t4 = sum & LIMB_MASK;
    sum = s0 * M5 + s1 * M4 + s2 * M3 + s3 * M2 + s4 * M1 + s5 * M0 + words[INCREMENT + 5] + (sum - t4) * LIMB;
    const t5 = sum & 0xff;
    words[0] = t0;
    words[1] = t1;
    words[2] = t2;
    words[3] = t3;
    words[4] = t4;
    words[5] = t5;
    const low = (t0 | (t1 << 24)) ^ ((t2 >>> 16) | (t3 << 8));
    const high = ((t1 >>> 8) | (t2 << 16)) ^ (t4 | (t5 << 24));
    const rotation = t5 >>> 2; // the six most significant bits of the state
    const shift = rotation & 31; // JavaScript takes the number of bits modulo 32, so a shift by 32 needs its own case
    const first = rotation < 32 ? low : high;
    const second = rotation < 32 ? high : low;
    words[LOW] = shift ? (first >>> shift) | (second << (32 - shift)) : first;
    words[HIGH] = shift ? (second >>> shift) | (first << (32 - shift)) : second;
  }

  /** Return the next uniform number in [0, 1), a multiple of 2^-53: `random()` of numpy. */
  nextDouble() {
    this.advance();
    return ((this.words[HIGH] >>> 0) * 2 ** 21 + (this.words[LOW] >>> 11)) * 2 ** -53;
  }

  /** Return the next normal in float64: `standard_normal()` of numpy. */
  standardNormal() {
    for (;;) {
      this.advance();
      const low = this.words[LOW];
      const high = this.words[HIGH];
      const layer = low & 0xff;
      const magnitude = ((high >>> 0) % 2 ** 29) * 2 ** 23 + (low >>> 9);
      const x = low & 0x100 ? -magnitude * w[layer] : magnitude * w[layer];
      if (magnitude < k[layer]) return x;
      if (layer === 0) return this.tail(low & 0x20000 ? -1 : 1);
      if ((f[layer - 1] - f[layer]) * this.nextDouble() + f[layer] < Math.exp(-0.5 * x * x)) return x;
    }
  }

  /**
   * Draw from the normal distribution under the condition that the absolute value is above R.
   *
   * @param {number} sign
   */
  tail(sign) {
    for (;;) {
      const a = -INVERSE_R * Math.log1p(-this.nextDouble());
      const b = -Math.log1p(-this.nextDouble());
      if (b + b > a * a) return sign * (R + a);
    }
  }

  /**
   * Fill an array with the next normals, and return it. Each normal is rounded once to float32.
   *
   * @param {Float32Array} values
   */
  fillNormals(values) {
    for (let index = 0; index < values.length; index += 1) values[index] = this.standardNormal();
    return values;
  }
}

/**
 * Return `default_rng(seed)`, the first stream of a seed.
 *
 * @param {unknown} seed A non-negative integer, or null for fresh entropy; see `asSeed`.
 */
export function generator(seed) {
  return new Generator(asSeed(seed));
}

/**
 * Return `default_rng((seed, 1))`, the stream that chooses the components of a mixture.
 *
 * @param {unknown} seed As for `generator`.
 */
export function secondGenerator(seed) {
  return furtherGenerator(seed, 1n);
}

/**
 * Return `default_rng((seed, 2))`, the stream of draws from p(x|z).
 *
 * @param {unknown} seed As for `generator`.
 */
export function thirdGenerator(seed) {
  return furtherGenerator(seed, 2n);
}

/**
 * @param {unknown} seed
 * @param {bigint} stream
 */
function furtherGenerator(seed, stream) {
  const checked = asSeed(seed);
  return new Generator(checked === null ? null : [checked, stream]);
}

/** Return 128 random bits of the system, as an integer. */
function freshEntropy() {
  return [...crypto.getRandomValues(new Uint32Array(4))].reduce((value, word) => (value << 32n) | BigInt(word), 0n);
}

/**
 * Return integers as 32-bit words, the least significant word of each integer first.
 *
 * @param {bigint | bigint[]} entropy
 */
function entropyWords(entropy) {
  const words = [];
  for (const integer of [entropy].flat()) {
    let rest = integer;
    do {
      words.push(Number(rest & 0xffffffffn));
      rest >>= 32n;
    } while (rest > 0n);
  }
  return words;
}

/**
 * Return the eight words that `SeedSequence` generates from the words of the entropy.
 *
 * @param {number[]} entropy
 */
function seedWords(entropy) {
  let constant = 0x43b0d7e5;
  /** @param {number} value */
  const hash = (value) => {
    const mixed = value ^ constant;
    constant = Math.imul(constant, 0x931e8875);
    const product = Math.imul(mixed, constant);
    return product ^ (product >>> 16);
  };
  /**
   * @param {number} a
   * @param {number} b
   */
  const mix = (a, b) => {
    const difference = Math.imul(0xca01f9dd, a) - Math.imul(0x4973f715, b);
    return difference ^ (difference >>> 16);
  };
  const pool = [0, 1, 2, 3].map((index) => hash(entropy[index] ?? 0));
  for (let source = 0; source < 4; source += 1) {
    for (let target = 0; target < 4; target += 1) {
      if (source !== target) pool[target] = mix(pool[target], hash(pool[source]));
    }
  }
  for (const word of entropy.slice(4)) {
    for (let target = 0; target < 4; target += 1) pool[target] = mix(pool[target], hash(word));
  }
  constant = 0x8b51f9dd;
  const words = new Uint32Array(8);
  for (let index = 0; index < 8; index += 1) {
    const mixed = pool[index % 4] ^ constant;
    constant = Math.imul(constant, 0x58f38ded);
    const product = Math.imul(mixed, constant);
    words[index] = product ^ (product >>> 16);
  }
  return words;
}

/**
 * Return the 128-bit integer in four words.
 *
 * The first two words are the upper 64 bits, and the last two are the lower 64 bits. In each pair, the less significant
 * word is first.
 *
 * @param {Uint32Array} words
 * @param {number} start
 */
function number128(words, start) {
  const [a, b, c, d] = [...words.subarray(start, start + 4)].map(BigInt);
  return (b << 96n) | (a << 64n) | (d << 32n) | c;
}
