/**
 * One ONNX graph in one session of ONNX Runtime.
 *
 * @typedef {import("./batches.js").Batch} Batch
 * @typedef {import("./batches.js").Input} Input
 */

import { elementsOf } from "./arrays.js";
import { rowsOf } from "./batches.js";
import { BundleError, InferenceError } from "./errors.js";

/** Maximum number of examples per run of a graph. */
const CHUNK = 512;
/** Maximum number of elements in the largest input or output of a run, which limits the memory. */
const MAX_ELEMENTS = 2 ** 22;

export class Graph {
  /**
   * Open a session for a graph that was verified and checked.
   *
   * @param {any} ort The module onnxruntime-web.
   * @param {Uint8Array} bytes The serialized graph.
   * @param {{inputs: {name: string, shape: number[]}[], outputs: {name: string, shape: number[]}[]}} signature Inputs
   *   and outputs without the batch axis.
   * @param {string} where Location of the file, for errors.
   * @returns {Promise<Graph>}
   */
  static async open(ort, bytes, signature, where) {
    let session;
    try {
      session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"], logSeverityLevel: 4 });
    } catch (error) {
      throw new BundleError(`${where}: ONNX Runtime cannot load the graph: ${messageOf(error)}`, { cause: error });
    }
    return new Graph(ort, session, signature);
  }

  /**
   * @param {any} ort
   * @param {any} session
   * @param {{inputs: {name: string, shape: number[]}[], outputs: {name: string, shape: number[]}[]}} signature
   */
  constructor(ort, session, signature) {
    this.ort = ort;
    this.session = session;
    /** @type {Promise<unknown>} */
    this.last = Promise.resolve();
    const tensors = [...signature.inputs, ...signature.outputs];
    const elements = Math.max(...tensors.map((tensor) => elementsOf(tensor.shape)));
    /** Maximum number of examples in one run. */
    this.rowsPerRun = Math.max(1, Math.min(CHUNK, Math.floor(MAX_ELEMENTS / elements)));
  }

  /**
   * Run the graph on a batch of any size, in chunks that limit the memory.
   *
   * @param {Record<string, Input>} inputs Inputs by name, each of n rows.
   * @param {string[]} outputs Names of the outputs to compute.
   * @returns {Promise<Batch[]>} One batch of n rows per output.
   */
  async run(inputs, outputs) {
    const n = Object.values(inputs)[0].shape[0];
    if (n <= this.rowsPerRun) return this.runOnce(inputs, outputs);
    /** @type {Batch[]} */
    const results = [];
    for (let start = 0; start < n; start += this.rowsPerRun) {
      const end = Math.min(n, start + this.rowsPerRun);
      const rows = Object.entries(inputs).map(([name, batch]) => [name, rowsOf(batch, start, end)]);
      const parts = await this.runOnce(Object.fromEntries(rows), outputs);
      for (const [index, part] of parts.entries()) {
        const length = part.data.length / (end - start);
        results[index] ??= { data: new Float32Array(n * length), shape: [n, ...part.shape.slice(1)] };
        results[index].data.set(part.data, start * length);
      }
    }
    return results;
  }

  /**
   * Run the graph on one chunk. ONNX Runtime for the web refuses a run during another one, so this run waits until the
   * previous run has ended.
   *
   * @param {Record<string, Input>} inputs
   * @param {string[]} outputs
   * @returns {Promise<Batch[]>}
   */
  runOnce(inputs, outputs) {
    const run = this.last.then(() => this.runNow(inputs, outputs));
    this.last = run.catch(() => undefined);
    return run;
  }

  /**
   * @param {Record<string, Input>} inputs
   * @param {string[]} outputs
   * @returns {Promise<Batch[]>}
   */
  async runNow(inputs, outputs) {
    /** @type {Record<string, any>} */
    const feeds = {};
    for (const [name, { data, shape }] of Object.entries(inputs)) {
      feeds[name] = new this.ort.Tensor(data instanceof BigInt64Array ? "int64" : "float32", data, shape);
    }
    let results;
    try {
      results = await this.session.run(feeds, outputs);
    } catch (error) {
      const shapes = Object.entries(inputs).map(([name, { shape }]) => `${name} (${shape.join(", ")})`);
      throw new InferenceError(`ONNX Runtime failed on a batch of ${shapes.join(", ")}: ${messageOf(error)}`, {
        cause: error,
      });
    } finally {
      for (const tensor of Object.values(feeds)) tensor.dispose();
    }
    return outputs.map((name) => {
      const { data, dims } = results[name];
      results[name].dispose();
      return { data, shape: [...dims] };
    });
  }

  /** Release the session and its memory. */
  async close() {
    await this.last;
    await this.session.release();
  }
}

/** @param {unknown} error */
const messageOf = (error) => (error instanceof Error ? error.message : String(error));
