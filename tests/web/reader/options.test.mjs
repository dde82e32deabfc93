/** Unknown options of the public functions are refused. */

import assert from "node:assert/strict";
import test from "node:test";
import { InputError, load, VAE } from "../../../runtime/vaedge/web/vaedge.js";
import { asOptions } from "../../../runtime/vaedge/web/options.js";

/** Return a function that requires an InputError with exactly this message. */
const refusal = (message) => (error) => {
  assert.equal(error.constructor, InputError, error.stack);
  assert.equal(error.message, message);
  return true;
};

test("missing and undefined options have their default values", () => {
  const defaults = { seed: null, k: 100 };
  assert.deepEqual(asOptions("bounds", undefined, defaults), defaults);
  assert.deepEqual(asOptions("bounds", { k: undefined, seed: 0 }, defaults), { seed: 0, k: 100 });
});

test("options that are not an object are refused", () => {
  for (const [options, described] of [
    [5, "5"],
    [null, "null"],
    ["int8", "'int8'"],
    [[1], "an array"],
  ]) {
    assert.throws(
      () => asOptions("sample", options, { seed: null, draw: false }),
      refusal(`the options of sample are ${described}; expected an object with seed, draw`),
    );
  }
});

test("every function names an unknown option and the allowed ones", async () => {
  const model = { manifest: {}, calibration: null, prior: null };
  const vae = new VAE(model);
  const options = { sead: 3 };
  for (const [name, call, allowed] of [
    ["load", () => load({}, { variants: "int8" }), "variant, sha256, ort"],
    ["encode", () => vae.encode([], options), "conditions"],
    ["decode", () => vae.decode([], options), "conditions"],
    ["parameters", () => vae.parameters([], options), "conditions"],
    ["samplePrior", async () => vae.samplePrior(3, options), "seed"],
    ["sample", () => vae.sample(3, options), "seed, draw, conditions"],
    ["reconstruct", () => vae.reconstruct([], options), "sample, draw, seed, conditions"],
    ["interpolate", () => vae.interpolate([], [], options), "steps, conditions"],
    ["logProb", () => vae.logProb([], options), "k, seed, conditions"],
    ["bounds", () => vae.bounds([], options), "k, seed, conditions"],
    ["detect", () => vae.detect([], options), "falseAlarmRate, maps, conditions"],
  ]) {
    const option = name === "load" ? "variants" : "sead";
    await assert.rejects(call, refusal(`${name} has no option '${option}'; its options are ${allowed}`));
  }
});
