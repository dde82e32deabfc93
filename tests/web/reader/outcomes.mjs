/** Loads bundles in Node or in a page, with a stub in place of ONNX Runtime. */

import { load, VaedgeError } from "../../../runtime/vaedge/web/vaedge.js";

/**
 * Load each bundle. Return for each of them the name of the error or "accepted", the message of the error or "", and
 * the number of graphs that ONNX Runtime received.
 *
 * @param {unknown[]} sources
 */
export async function outcomesOf(sources) {
  let received = 0;
  const create = async () => {
    received += 1;
    return {};
  };
  const outcomes = [];
  for (const source of sources) {
    received = 0;
    try {
      await load(source, { ort: { InferenceSession: { create } } });
      outcomes.push({ name: "accepted", message: "", received });
    } catch (error) {
      const name = error instanceof VaedgeError ? error.name : `unexpected ${error?.stack}`;
      outcomes.push({ name, message: String(error?.message), received });
    }
  }
  return outcomes;
}
