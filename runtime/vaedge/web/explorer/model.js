/** The model behind the page: its variants, its examples, and facts about its latents. */

import { elementsOf } from "../arrays.js";
import { openFiles, readVerified } from "../files.js";
import { readNpz } from "../npz.js";
import { load } from "../vaedge.js";

/**
 * @typedef {import("./store.js").State} State
 * @typedef {import("../vae.js").VAE} VAE
 * @typedef {{name: string, dtype: string, shape: readonly number[], classes: readonly string[]}} Condition
 */

const EXAMPLES = 8;
const PRIOR_SAMPLES = 256;

export class Model {
  /**
   * Load the first variant, and read its examples.
   *
   * @param {Record<string, Uint8Array>} files Files of the bundle.
   * @param {any} ort The module onnxruntime-web.
   * @param {string[]} variants Names of the variants of the page.
   * @param {string} first Name of the variant to load.
   * @returns {Promise<Model>}
   */
  static async open(files, ort, variants, first) {
    if (!variants.includes(first)) {
      const names = variants.join(", ");
      throw new Error(
        `This page has no variant ${JSON.stringify(first)}; it has ${names}. Change #variant= in the address`,
      );
    }
    const model = new Model(files, ort, variants, await load(files, { variant: first, ort }));
    await model.readExamples(first);
    await model.describeLatents();
    return model;
  }

  /**
   * @param {Record<string, Uint8Array>} files
   * @param {any} ort
   * @param {string[]} variants
   * @param {VAE} vae
   */
  constructor(files, ort, variants, vae) {
    this.files = files;
    this.ort = ort;
    this.variants = variants;
    this.vae = vae;
    this.manifest = vae.manifest;
    /** @type {Map<string, VAE>} */
    this.loaded = new Map([[vae.variant, vae]]);
    /** @type {Condition[]} */
    this.conditions = [...vae.manifest.conditions];
    /** @type {Float32Array} Values of x of the examples, one after another. */
    this.x = new Float32Array(0);
    /** @type {Record<string, number[][]>} Values of the conditions of each example. */
    this.exampleConditions = {};
    /** Number of elements of one z. */
    this.latents = elementsOf(vae.latentShape);
    /** KL divergence of each latent from N(0, 1), nats, mean over the examples. */
    this.kl = new Float64Array(this.latents);
    /** @type {number[]} Latents, the largest KL divergence first. */
    this.order = [];
    /** Largest absolute value of a slider. */
    this.limit = 3;
    /** @type {Float32Array} Draws from the prior, one after another. */
    this.prior = new Float32Array(0);
  }

  /** Number of examples. */
  get examples() {
    return this.x.length / elementsOf(this.vae.inputShape);
  }

  /**
   * Return a variant. The first call loads it.
   *
   * @param {string} name
   * @returns {Promise<VAE>}
   */
  async open(name) {
    let vae = this.loaded.get(name);
    if (vae === undefined) {
      vae = await load(this.files, { variant: name, ort: this.ort });
      this.loaded.set(name, vae);
    }
    return vae;
  }

  /**
   * Use another variant.
   *
   * @param {string} name
   */
  async use(name) {
    this.vae = await this.open(name);
  }

  /** @param {string} variant */
  async readExamples(variant) {
    const { reference } = this.manifest.variants[variant];
    if (!reference) {
      const values = Object.fromEntries(this.conditions.map((condition) => [condition.name, zeros(condition)]));
      this.x = (await this.vae.sample(EXAMPLES, { seed: 0, conditions: this.asConditions(values) })).data;
      this.exampleConditions = Object.fromEntries(
        this.conditions.map((condition) => [condition.name, Array.from({ length: EXAMPLES }, () => zeros(condition))]),
      );
      return;
    }
    const arrays = await readNpz(await readVerified(openFiles(this.files), this.manifest, reference));
    this.x = /** @type {Float32Array} */ (arrays.get("x")?.data).slice(0, EXAMPLES * elementsOf(this.vae.inputShape));
    for (const { name, shape } of this.conditions) {
      const values = Array.from(/** @type {any} */ (arrays.get(name)?.data), Number);
      const size = elementsOf(shape);
      this.exampleConditions[name] = Array.from({ length: this.examples }, (_, row) =>
        values.slice(row * size, (row + 1) * size),
      );
    }
  }

  /** Compute the order and the range of the latents from the examples and from draws of the prior. */
  async describeLatents() {
    const n = this.examples;
    /** @type {Record<string, any>} */
    const conditions = {};
    for (const condition of this.conditions) {
      conditions[condition.name] = this.asRows(condition, this.exampleConditions[condition.name]);
    }
    const x = { data: this.x, shape: [n, ...this.vae.inputShape] };
    const { mean, logVar } = await this.vae.encode(x, { conditions });
    this.prior = (await this.vae.samplePrior(PRIOR_SAMPLES, { seed: 0 })).data;
    for (let i = 0; i < mean.data.length; i += 1) {
      const [m, v] = [mean.data[i], logVar.data[i]];
      this.kl[i % this.latents] += (m * m + Math.exp(v) - 1 - v) / 2 / n;
    }
    this.order = Array.from(this.kl.keys()).sort((a, b) => this.kl[b] - this.kl[a] || a - b);
    let largest = 3;
    for (const values of [mean.data, this.prior]) {
      for (const value of values) largest = Math.max(largest, Math.abs(value));
    }
    this.limit = Math.ceil(largest);
  }

  /**
   * Return one value per condition in the form that the methods of the VAE accept.
   *
   * @param {Record<string, number[]>} values
   * @returns {Record<string, any>}
   */
  asConditions(values) {
    return Object.fromEntries(
      this.conditions.map((condition) => {
        const value = values[condition.name];
        return [condition.name, condition.shape.length === 0 ? value[0] : this.asArray(condition, value)];
      }),
    );
  }

  /**
   * @param {Condition} condition
   * @param {number[]} values
   */
  asArray(condition, values) {
    const data = condition.dtype === "int64" ? BigInt64Array.from(values, BigInt) : Float32Array.from(values);
    return { data, shape: [...condition.shape] };
  }

  /**
   * @param {Condition} condition
   * @param {number[][]} rows
   */
  asRows(condition, rows) {
    const { data } = this.asArray(condition, rows.flat());
    return { data, shape: [rows.length, ...condition.shape] };
  }
}

/**
 * Return a value that the condition may have. All of its elements are 0.
 *
 * @param {Condition} condition
 * @returns {number[]}
 */
export const zeros = (condition) => new Array(elementsOf(condition.shape)).fill(0);
