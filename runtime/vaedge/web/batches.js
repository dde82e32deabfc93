/**
 * Batches: arrays with one row per example.
 *
 * @typedef {{data: Float32Array, shape: number[]}} Batch An array of n rows; `shape` is [n, ...].
 * @typedef {{data: Float32Array | BigInt64Array, shape: number[]}} Input An input of a graph, float32 or int64.
 */

import { elementsOf } from "./arrays.js";

/**
 * Return some rows of a batch. The result shares the memory of the batch.
 *
 * @template {Input} T
 * @param {T} batch
 * @param {number} start
 * @param {number} end
 * @returns {T}
 */
export function rowsOf(batch, start, end) {
  const length = elementsOf(batch.shape.slice(1));
  const data = batch.data.subarray(start * length, end * length);
  return /** @type {T} */ ({ data, shape: [end - start, ...batch.shape.slice(1)] });
}

/**
 * Return one batch with the rows of two batches.
 *
 * @template {Input} T
 * @param {T} first
 * @param {T} second
 * @returns {T}
 */
export function concatenate(first, second) {
  const Type = /** @type {any} */ (first.data.constructor);
  const data = new Type(first.data.length + second.data.length);
  data.set(first.data);
  data.set(second.data, first.data.length);
  return /** @type {T} */ ({ data, shape: [first.shape[0] + second.shape[0], ...first.shape.slice(1)] });
}

/**
 * @param {Record<string, Input>} first
 * @param {Record<string, Input>} second
 */
export const concatenateAll = (first, second) =>
  Object.fromEntries(Object.entries(first).map(([name, batch]) => [name, concatenate(batch, second[name])]));

/**
 * @param {Record<string, Input>} inputs
 * @param {number} start
 * @param {number} end
 */
export const sliceAll = (inputs, start, end) =>
  Object.fromEntries(Object.entries(inputs).map(([name, batch]) => [name, rowsOf(batch, start, end)]));

/**
 * Repeat each row, so that each example has consecutive copies of its conditions.
 *
 * @param {Record<string, Input>} inputs
 * @param {number} times
 * @returns {Record<string, Input>}
 */
export const repeatAll = (inputs, times) =>
  Object.fromEntries(
    Object.entries(inputs).map(([name, { data, shape }]) => {
      const length = data.length / shape[0];
      const repeated =
        data instanceof BigInt64Array ? new BigInt64Array(data.length * times) : new Float32Array(data.length * times);
      for (let row = 0; row < shape[0] * times; row += 1) {
        const from = Math.floor(row / times) * length;
        /** @type {any} */ (repeated).set(data.subarray(from, from + length), row * length);
      }
      return [name, { data: repeated, shape: [shape[0] * times, ...shape.slice(1)] }];
    }),
  );
