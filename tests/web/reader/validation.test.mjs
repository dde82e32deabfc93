/** Invalid arguments are refused with a clear error. Valid arguments of another type or form are converted. */

import assert from "node:assert/strict";
import test from "node:test";
import { InputError } from "../../../runtime/vaedge/web/errors.js";
import { asBatch, asConditions, asCount, asExample, asSeed } from "../../../runtime/vaedge/web/validation.js";

const SHAPE = [1, 2, 3];
const DATA = Float32Array.from({ length: 24 }, (_, index) => index / 32);
const BATCH = { data: DATA, shape: [4, ...SHAPE] };

/**
 * Require an InputError with exactly this message, or with a message that matches.
 *
 * @param {() => unknown} call
 * @param {string | RegExp} message
 */
function refuses(call, message) {
  assert.throws(call, (error) => {
    assert.equal(error.constructor, InputError, error.stack);
    if (typeof message === "string") assert.equal(error.message, message);
    else assert.match(error.message, message);
    return true;
  });
}

/** Return the examples of a flat array as nested arrays. */
const nested = (data) =>
  Array.from({ length: data.length / 6 }, (_, n) => [
    Array.from({ length: 2 }, (_, row) => [...data.subarray(6 * n + 3 * row, 6 * n + 3 * row + 3)]),
  ]);

test("examples in several forms are converted", () => {
  for (const x of [
    BATCH,
    DATA,
    Float64Array.from(DATA),
    { data: Float64Array.from(DATA), shape: [4, 1, 2, 3] },
    nested(DATA),
  ]) {
    assert.deepEqual(asBatch(x, "x", SHAPE, [0, 1], null), BATCH);
  }
});

test("a Float32Array is not copied", () => {
  assert.equal(asBatch(BATCH, "x", SHAPE).data, DATA);
  assert.equal(asBatch(DATA, "x", SHAPE).data, DATA);
});

test("8-bit arrays are divided by 255 only with an encoding", () => {
  const pixels = Uint8Array.from({ length: 24 }, (_, index) => 10 * index);
  const expected = Float32Array.from(pixels, (pixel) => pixel / 255);
  for (const x of [pixels, new Uint8ClampedArray(pixels), { data: pixels, shape: [4, 1, 2, 3] }]) {
    assert.deepEqual(asBatch(x, "x", SHAPE, [0, 1], "uint8").data, expected);
  }
  const scaled = "Float32Array.from(x, (pixel) => pixel / 255)";
  refuses(
    () => asBatch(pixels, "x", SHAPE, [0, 1], null),
    `x is an array of uint8; expected float32; scale pixels of 0..255 with ${scaled}`,
  );
  refuses(
    () => asBatch(pixels, "x", SHAPE, null, null),
    `x is an array of uint8; expected float32; convert it with ${scaled} if the model was trained on values in ` +
      "[0, 1], otherwise with Float32Array.from(x)",
  );
  refuses(() => asBatch(pixels, "x", SHAPE, [-1, 1], null), "x is an array of uint8; expected float32");
  refuses(() => asBatch(new Uint16Array(6), "x", SHAPE, [0, 1], "uint8"), /uint16; expected float32; .*65535/);
  for (const [type, name] of [
    [Int8Array, "int8"],
    [Int32Array, "int32"],
    [BigInt64Array, "int64"],
  ]) {
    refuses(() => asBatch(new type(6), "x", SHAPE, [0, 1], "uint8"), `x is an array of ${name}; expected float32`);
  }
});

test("other values are refused", () => {
  refuses(() => asBatch(null, "x", SHAPE), "x is an array of object; expected float32");
  refuses(() => asBatch(undefined, "x", SHAPE), "x is an array of undefined; expected float32");
  refuses(() => asBatch("digit", "x", SHAPE), "x is an array of string; expected float32");
  refuses(() => asBatch([[true]], "x", SHAPE), "x is an array of boolean; expected float32");
  refuses(() => asBatch([[1.5, "a"]], "x", SHAPE), "x is an array of object; expected float32");
  refuses(() => asBatch(1.5, "x", SHAPE), "x has shape (); expected (n, 1, 2, 3)");
  refuses(
    () => asBatch([[1], [1, 2]], "x", SHAPE),
    "x cannot be converted to an array: its rows have different lengths",
  );
  refuses(() => asBatch([[1], 2], "x", SHAPE), /different lengths/);
  refuses(() => asBatch([1, [2]], "x", SHAPE), /different lengths/);
  const cyclic = [];
  cyclic.push(cyclic);
  refuses(() => asBatch(cyclic, "x", SHAPE), "x has more than 32 axes");
  refuses(() => asBatch({ data: [1, 2], shape: [2] }, "x", [1]), "x.data is an array; expected a typed array");
  refuses(() => asBatch({ data: new DataView(new ArrayBuffer(8)), shape: [2] }, "x", [1]), /x.data is .*DataView/);
  for (const shape of [null, 2, [-2, -12], [1.5, 16], ["24"], [NaN]]) {
    refuses(() => asBatch({ data: DATA, shape }, "x", [1]), "x.shape must be an array of non-negative integers");
  }
  const message = "x.data has 24 elements, which do not match x.shape (4, 5)";
  refuses(() => asBatch({ data: DATA, shape: [4, 5] }, "x", [5]), message);
});

test("wrong shapes are refused, and a missing axis is suggested where the shape fits", () => {
  const shaped = (shape) => ({ data: new Float32Array(shape.reduce((a, b) => a * b, 1)), shape });
  for (const [given, shape, text, hint] of [
    [[1, 4, 6], [1, 4, 6], "(1, 4, 6)", "; for a single example pass {data, shape: [1, 1, 4, 6]}"],
    [[4, 6], [1, 4, 6], "(4, 6)", "; for a single example pass {data, shape: [1, 1, 4, 6]}"],
    [[5, 4, 6], [1, 4, 6], "(5, 4, 6)", "; add the missing axis with {data, shape: [5, 1, 4, 6]}"],
    [[7], [1], "(7,)", "; add the missing axis with {data, shape: [7, 1]}"],
    [[5, 4, 7], [1, 4, 6], "(5, 4, 7)", ""],
    [[4, 6], [3, 4, 6], "(4, 6)", ""],
    [[2, 1, 4, 6, 1], [1, 4, 6], "(2, 1, 4, 6, 1)", ""],
  ]) {
    const expected = `(n, ${shape.join(", ")})`;
    refuses(() => asBatch(shaped(given), "x", shape), `x has shape ${text}; expected ${expected}${hint}`);
  }
  refuses(() => asBatch(new Float32Array(7), "x", SHAPE), "x has shape (7,); expected (n, 1, 2, 3)");
  const empty = "x is an empty batch of shape (0, 1, 2, 3); give at least one example";
  refuses(() => asBatch(shaped([0, 1, 2, 3]), "x", SHAPE), empty);
  refuses(() => asBatch(new Float32Array(0), "x", SHAPE), empty);
});

test("values outside of the range are refused", () => {
  const x = new Float32Array(10);
  x[7] = 2;
  refuses(
    () => asBatch(x, "x", [2], [0, 1]),
    "x holds values from 0 to 2; the model takes 0 to 1. The first value outside this range is in example 3",
  );
  x[9] = Infinity;
  refuses(() => asBatch(x, "x", [2], [0, 1]), "x holds NaN or infinity in example 4");
  refuses(() => asBatch([[1e300]], "x", [1]), "x holds NaN or infinity in example 0");
  refuses(
    () => asBatch([[-3e38]], "z", [1], [-1e6, 1e6]),
    /^z holds values from -3.*e\+38 to .*takes -1e\+06 to 1e\+06/,
  );
});

test("one example may have three forms", () => {
  const expected = { data: DATA.subarray(0, 6), shape: [1, ...SHAPE] };
  for (const a of [DATA.subarray(0, 6), { data: DATA.subarray(0, 6), shape: SHAPE }, nested(DATA)[0]]) {
    assert.deepEqual(asExample(a, "a", SHAPE, [0, 1]), expected);
  }
  assert.deepEqual(asExample(new Uint8Array([255, 0]), "a", [2], [0, 1], "uint8").data, new Float32Array([1, 0]));
  refuses(() => asExample(DATA, "b", SHAPE, null), "b has shape (24,); expected one example of shape (1, 2, 3)");
  refuses(() => asExample(nested(DATA)[0][0], "b", SHAPE, null), /^b has shape \(2, 3\)/);
});

const CLASSES = { name: "y", dtype: "int64", shape: [], classes: ["a", "b", "c"] };
const ATTRIBUTES = { name: "constructor", dtype: "float32", shape: [2], classes: [] };

test("conditions are given by name, in any order", () => {
  const shared = { y: "b", constructor: [0.5, 1.5] };
  const each = new Map([
    ["constructor", new Float32Array([0.5, 1.5, 0.5, 1.5])],
    ["y", new Int32Array([1, 1])],
  ]);
  const arrays = { y: 1n, constructor: { data: new Float32Array([0.5, 1.5, 0.5, 1.5]), shape: [2, 2] } };
  for (const given of [
    shared,
    each,
    arrays,
    { y: new BigInt64Array([1n, 1n]), constructor: new Float32Array([0.5, 1.5]) },
  ]) {
    const found = asConditions(given, [CLASSES, ATTRIBUTES], 2);
    assert.deepEqual(Object.keys(found), ["y", "constructor"]);
    assert.deepEqual(found.y, { data: new BigInt64Array([1n, 1n]), shape: [2] });
    assert.deepEqual(found.constructor, { data: new Float32Array([0.5, 1.5, 0.5, 1.5]), shape: [2, 2] });
  }
  for (const given of [null, undefined, {}, new Map()]) assert.deepEqual({ ...asConditions(given, [], 2) }, {});
});

test("missing and unknown conditions are refused", () => {
  refuses(() => asConditions({ y: 1 }, [], 1), "conditions given: y; this model has no conditions");
  refuses(() => asConditions({ a: 1, b: 2 }, [], 1), "conditions given: a, b; this model has no conditions");
  refuses(() => asConditions(null, [CLASSES], 1), "conditions given: none; this model takes: y");
  refuses(() => asConditions({}, [CLASSES, ATTRIBUTES], 1), "conditions given: none; this model takes: y, constructor");
  refuses(() => asConditions({ y: 1, z: 2 }, [CLASSES, ATTRIBUTES], 1), /^conditions given: y, z; /);
  for (const given of [["y"], "y", 1])
    refuses(() => asConditions(given, [CLASSES], 1), /^conditions is .*; expected an/);
});

test("floating-point arrays are not classes, and integer arrays are not attributes", () => {
  refuses(
    () => asConditions({ y: new Float32Array([1]) }, [CLASSES], 1),
    "y is an array of float32 from 1 to 1; expected integers from 0 to 2, or the names 'a', 'b', 'c' as strings",
  );
  refuses(() => asConditions({ y: true }, [CLASSES], 1), /^y is an array of boolean; expected integers/);
  refuses(() => asConditions({ y: NaN }, [CLASSES], 1), /^y is an array of float64 from NaN to NaN; expected integers/);
  refuses(
    () => asConditions({ constructor: new Int32Array(2) }, [ATTRIBUTES], 1),
    "constructor is an array of int32; expected float32",
  );
  refuses(
    () => asConditions({ constructor: [NaN, 0] }, [ATTRIBUTES], 1),
    "constructor holds NaN or infinity in example 0",
  );
});

test("counts and seeds may be BigInts", () => {
  assert.equal(asCount(3n, "n"), 3);
  assert.equal(asCount(2 ** 31, "n"), 2 ** 31);
  for (const n of [0, -1, 1.5, "8", null, undefined, true, 2 ** 40, 2n ** 80n, NaN, [1]]) {
    refuses(() => asCount(n, "n"), /^n is .*; expected an integer from 1 to 2,147,483,648$/);
  }
  assert.equal(asSeed(5), 5n);
  assert.equal(asSeed(2n ** 100n), 2n ** 100n);
  assert.equal(asSeed("007"), 7n);
  assert.equal(asSeed(undefined), null);
  refuses(() => asSeed(-1n), "seed is -1; expected a non-negative integer, or null for fresh entropy");
  refuses(
    () => asSeed(2 ** 53),
    "seed is 9007199254740992; expected a non-negative integer, or null for fresh entropy; give a seed above 2^53 - 1 as " +
      "a BigInt or a string",
  );
});
