/** Measures the times of calls. */

const ROUNDS = 7;
const CALLS = 10;

/**
 * Return the time of one call in milliseconds: the median over rounds. The clock of browsers ticks every 0.1 ms, so a
 * round consists of several calls.
 *
 * @param {() => Promise<unknown>} call
 * @returns {Promise<number>}
 */
export async function timeCall(call) {
  await call();
  /** @type {number[]} */
  const times = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const start = performance.now();
    for (let i = 0; i < CALLS; i += 1) await call();
    times.push((performance.now() - start) / CALLS);
  }
  return median(times);
}

/** @param {number[]} values */
export const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
