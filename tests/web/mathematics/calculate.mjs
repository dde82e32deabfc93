/**
 * Call a function of the JavaScript runtime once per folder: `node calculate.mjs FUNCTION FOLDER...`.
 *
 * A folder holds `arguments.json` and one file of bytes for each array. The script writes one file per resulting array
 * to the folder. It prints a JSON list with one object per folder: the types and shapes of the arrays, or the error.
 */

import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { estimateBounds } from "../../../runtime/vaedge/web/bounds.js";
import { computeTerms, readCalibration } from "../../../runtime/vaedge/web/detection.js";
import { VaedgeError } from "../../../runtime/vaedge/web/errors.js";
import { draw, elementLogProbs, requireDrawable, requireScorable } from "../../../runtime/vaedge/web/likelihoods.js";
import { samplePosterior } from "../../../runtime/vaedge/web/posterior.js";
import { readPrior } from "../../../runtime/vaedge/web/prior.js";
import { generator, secondGenerator, thirdGenerator } from "../../../runtime/vaedge/web/random.js";
import { rowsOf } from "../../../runtime/vaedge/web/batches.js";
import * as ziggurat from "../../../runtime/vaedge/web/ziggurat.js";

const TYPES = { float32: Float32Array, float64: Float64Array, int64: BigInt64Array };

/** Options and arrays of the current call. */
let options = {};
let arrays = new Map();

function readArguments(folder) {
  const { options: given, types } = JSON.parse(readFileSync(join(folder, "arguments.json"), "utf8"));
  options = given;
  arrays = new Map(
    Object.entries(types).map(([name, { dtype, shape }]) => {
      const bytes = readFileSync(join(folder, `${name}.bin`));
      return [name, { data: new TYPES[dtype](new Uint8Array(bytes).buffer), shape }];
    }),
  );
}

function write(folder, results) {
  const described = Object.entries(results).map(([name, value]) => {
    if (!value.shape) return [name, value];
    writeFileSync(join(folder, `${name}.out`), new Uint8Array(value.data.buffer));
    return [name, { dtype: value.data.constructor.name.replace("Array", "").toLowerCase(), shape: value.shape }];
  });
  return Object.fromEntries(described);
}

const flat = (data) => ({ data, shape: [data.length] });
const sha256 = (data) => createHash("sha256").update(new Uint8Array(data.buffer)).digest("hex");
/** The arrays whose names start with a prefix, by the rest of their names. */
const startingWith = (prefix) => {
  const chosen = [...arrays].filter(([name]) => name.startsWith(prefix));
  return new Map(chosen.map(([name, array]) => [name.slice(prefix.length), array]));
};
const parameters = () => [...startingWith("parameter.").values()];
const prior = () => {
  const constants = startingWith("prior.");
  return readPrior({ prior: options.prior, latentShape: options.latentShape }, constants.size ? constants : null);
};
const likelihood = () => {
  return requireScorable(options.likelihood, arrays.get("x")?.data, {
    surrogate: options.surrogate,
    logScaleRange: options.logScaleRange,
  });
};

/** A decoder with the logits z W, or with loc = z W and log_scale = z V. */
const decode = async (z) => {
  const matrices = ["W", "V"].filter((matrix) => arrays.has(matrix)).map((matrix) => arrays.get(matrix));
  return matrices.map(({ data, shape: [rows, columns] }) => {
    const product = Float32Array.from({ length: z.shape[0] * columns }, (_, at) => {
      let sum = 0;
      for (let row = 0; row < rows; row += 1) {
        sum += z.data[Math.floor(at / columns) * rows + row] * data[row * columns + (at % columns)];
      }
      return sum;
    });
    return { data: product, shape: [z.shape[0], columns] };
  });
};
const encode = async (start, end) => ({
  mean: rowsOf(arrays.get("mean"), start, end),
  logVar: rowsOf(arrays.get("log_var"), start, end),
});

const FUNCTIONS = {
  tables: () => ({ k: flat(ziggurat.k), w: flat(ziggurat.w), f: flat(ziggurat.f) }),
  uniform: () => {
    const streams = { first: generator, second: secondGenerator, third: thirdGenerator };
    return Object.fromEntries(
      Object.entries(streams).map(([stream, start]) => {
        const rng = start(options.seed);
        return [stream, flat(Float64Array.from({ length: options.n }, () => rng.nextDouble()))];
      }),
    );
  },
  hashes: () => ({ sha256: options.seeds.map((seed) => sha256(prior().sample(options.n, seed).data)) }),
  sample: () => ({ z: prior().sample(options.n, options.seed) }),
  components: () => {
    const mixture = prior();
    return {
      components: [...arrays.get("positions").data].map((position) => mixture.componentAt(Number(position))),
    };
  },
  priorLogProb: () => ({ logProb: flat(prior().logProb(arrays.get("z"))) }),
  posterior: () => ({
    z: samplePosterior({ mean: arrays.get("mean"), logVar: arrays.get("log_var") }, options.seed),
  }),
  logProb: () => ({ logProb: elementLogProbs(likelihood(), arrays.get("x"), parameters()) }),
  draw: () => {
    const rng = thirdGenerator(options.seed);
    const drawable = requireDrawable(options.likelihood, options.logScaleRange);
    const n = parameters()[0].shape[0];
    return Object.fromEntries(
      [
        [0, options.split],
        [options.split, n],
      ].map(([start, end], part) => {
        return [
          `part${part}`,
          draw(
            drawable,
            parameters().map((parameter) => rowsOf(parameter, start, end)),
            rng,
          ),
        ];
      }),
    );
  },
  bounds: async () => {
    const found = await estimateBounds(arrays.get("x"), encode, decode, prior(), likelihood(), options);
    return Object.fromEntries(Object.entries(found).map(([bound, data]) => [bound, flat(data)]));
  },
  terms: async () => {
    const found = await computeTerms(arrays.get("x"), encode, decode, prior(), likelihood(), options);
    return { distortion: flat(found.distortion), rate: flat(found.rate), ...(found.maps && { maps: found.maps }) };
  },
  scores: () => {
    const { distortion, rate, ...calibrationArrays } = Object.fromEntries(arrays);
    const calibration = readCalibration(new Map(Object.entries(calibrationArrays)), options.model);
    const scores = calibration.score.of({ distortion: distortion.data, rate: rate.data });
    const { mapRange, smallestRate } = calibration;
    return {
      scores: flat(scores),
      pValues: flat(calibration.pValues(scores)),
      mapRange: flat(mapRange),
      smallestRate,
    };
  },
  calibration: () => readCalibration(arrays, options.model).requireRate(options.rate),
};

const [name, ...folders] = process.argv.slice(2);
const found = [];
for (const folder of folders) {
  readArguments(folder);
  try {
    found.push(write(folder, await FUNCTIONS[name]()));
  } catch (error) {
    if (!(error instanceof VaedgeError)) throw error;
    found.push({ error: error.name, message: error.message });
  }
}
console.log(JSON.stringify(found));
