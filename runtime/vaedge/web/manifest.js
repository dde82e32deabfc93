/** The manifest of a bundle: a frozen object that corresponds to the file `manifest.json`. */

import { BundleError } from "./errors.js";
import { Fields } from "./fields.js";
import { parseJson } from "./json.js";
import { quote, withCommas } from "./messages.js";

/**
 * @typedef {object} Condition An additional input of the encoder and the decoder of a conditional model.
 * @property {string} name
 * @property {string} dtype "int64" for the index of a class, "float32" for any other value.
 * @property {readonly number[]} shape Shape of the value of one example. [] means a single number.
 * @property {readonly string[]} classes Names of the classes 0, 1, ... if `dtype` is "int64"; otherwise empty.
 *
 * @typedef {object} Variant One variant of the encoder and the decoder, such as fp32 or int8.
 * @property {string} encoder File name of the encoder, which maps `x` to `mean` and `log_var`.
 * @property {string} decoder File name of the decoder, which maps `z` to `x` and to the parameters of p(x|z).
 * @property {number} opset Version of the standard ONNX operators that the graphs use.
 * @property {number} irVersion Version of the ONNX file format.
 * @property {string | null} reference File name of the inputs and expected outputs of the self-test. In bundles of
 *   format 1, it is null for every variant except fp32.
 * @property {string | null} calibration File name of the calibration of anomaly detection, or null.
 * @property {Readonly<Record<string, any>>} measured Speed, size and loss compared with fp32. May be empty.
 *
 * @typedef {object} FileEntry
 * @property {string} sha256 SHA-256 of the content, 64 lower-case hexadecimal digits.
 * @property {number} bytes Size of the content in bytes.
 *
 * @typedef {object} Manifest `variants` and `files` have no prototype, so `name in manifest.variants` is safe.
 * @property {string} name Name of the bundle, for display.
 * @property {number} formatVersion
 * @property {readonly number[]} inputShape Shape of one example of `x`, without the batch axis.
 * @property {readonly [number, number] | null} inputRange Limits of the values of `x`. null allows every finite value.
 * @property {string | null} encoding "uint8" if `x` may also be given as uint8, which the runtime divides by 255;
 *   otherwise null.
 * @property {readonly string[]} features Names of the elements of `x`, for tables; empty if they have no names.
 * @property {readonly number[]} latentShape Shape of one `z`, without the batch axis.
 * @property {readonly Condition[]} conditions Both graphs take the conditions in this order, after `x` or `z`.
 * @property {string} likelihood Name of the likelihood p(x|z).
 * @property {readonly string[]} parameters Names of the parameters of p(x|z), in the order of the decoder's outputs.
 * @property {readonly [number, number] | null} logScaleRange Limits to which the runtime clips log_scale. null if the
 *   graphs limit log_scale themselves.
 * @property {string} prior Name of the prior p(z), "standard_normal" or "mixture".
 * @property {string | null} priorFile File name of the prior's constants, or null.
 * @property {Readonly<Record<string, Variant>>} variants
 * @property {Readonly<Record<string, FileEntry>>} files Every file that the runtime may open.
 * @property {string} minimumOnnxruntime Oldest release of ONNX Runtime that runs the graphs.
 * @property {Readonly<Record<string, any>>} producers Versions of the packages that made the bundle.
 * @property {Readonly<Record<string, any>>} verification How the exporter compared the graphs with PyTorch.
 * @property {Readonly<Record<string, any>>} metrics Measured metrics (nats per example), and how they were measured.
 * @property {Readonly<Record<string, any>>} training Description of the training, with its command.
 */

export const MANIFEST_NAME = "manifest.json";
export const MAX_MANIFEST_BYTES = 1_000_000;

const READABLE_VERSIONS = [1, 2];
/** For each prior, whether a bundle with this prior has a file with the constants of the prior. */
const PRIORS = new Map([
  ["standard_normal", false],
  ["mixture", true],
]);
/** Limits of log_scale in bundles of format 1, by likelihood. In newer bundles, the graphs limit log_scale. */
const LOG_SCALE_RANGES = new Map([
  ["gaussian", [-6, 10]],
  ["discretized_logistic", [-8, 8]],
]);
/** Names of arrays in the graphs and in the reference. A condition cannot have one of these names. */
const RESERVED = ["x", "z", "mean", "log_var", "decoded"];

const BARE_NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]*$/;
const CONDITION_NAME = /^[a-z][a-z0-9_]*$/;
const RELEASE = /^[0-9]{1,9}(\.[0-9]{1,9}){0,3}$/;
const SHA256 = /^[0-9a-f]{64}$/;

/**
 * Read the content of a `manifest.json`.
 *
 * @param {Uint8Array} bytes The content of the file.
 * @param {string} where Location of the bundle, for errors.
 * @returns {Manifest}
 * @throws {BundleError} The bytes are not JSON, or have an unsupported format version. A missing, invalid or unknown
 *   field also throws this error, and the message names the field.
 */
export function readManifest(bytes, where) {
  if (bytes.length > MAX_MANIFEST_BYTES) {
    throw new BundleError(
      `${where}/${MANIFEST_NAME} is larger than ${withCommas(MAX_MANIFEST_BYTES)} bytes: the exporter did not write ` +
        "this file",
    );
  }
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new BundleError(`${where}/${MANIFEST_NAME} is not UTF-8 text`, { cause: error });
  }
  try {
    return read(new Fields(parseJson(text, MANIFEST_NAME), "", MANIFEST_NAME));
  } catch (error) {
    if (!(error instanceof BundleError)) throw error;
    throw new BundleError(`${where}: ${error.message}`, { cause: error.cause });
  }
}

/**
 * @param {Fields} top
 * @returns {Manifest}
 */
function read(top) {
  if (top.text("format") !== "vaedge") throw top.error("format", "'vaedge'");
  const version = top.integer("format_version");
  if (!READABLE_VERSIONS.includes(version)) {
    throw new BundleError(
      `${MANIFEST_NAME} has format version ${version}, but this vaedge reads versions ` +
        `${READABLE_VERSIONS.join(" and ")}: install the vaedge release that made the bundle, or export it again`,
    );
  }
  const [example, latent, likelihood] = [top.fields("input"), top.fields("latent"), top.fields("likelihood")];
  for (const tensor of [example, latent]) {
    if (tensor.text("dtype") !== "float32") throw tensor.error("dtype", "'float32'");
  }
  const prior = top.fields("prior");
  const priorName = prior.text("name");
  if (!PRIORS.has(priorName)) throw prior.error("name", `one of ${[...PRIORS.keys()].join(", ")}`);
  const manifest = Object.freeze({
    name: top.text("name"),
    formatVersion: version,
    inputShape: example.shape("shape"),
    inputRange: example.range("range"),
    latentShape: latent.shape("shape"),
    conditions: Object.freeze(top.fields("conditions").entries().map(readCondition)),
    likelihood: likelihood.text("name"),
    parameters: likelihood.texts("parameters"),
    prior: priorName,
    priorFile: PRIORS.get(priorName) ? prior.text("file") : null,
    variants: readVariants(top, version),
    files: byName(top.fields("files").entries(), readFile),
    minimumOnnxruntime: top.matching("minimum_onnxruntime", RELEASE),
    encoding: readEncoding(example),
    logScaleRange: readLogScaleRange(likelihood, version),
    features: readFeatures(example),
    producers: top.mapping("producers"),
    verification: top.mapping("verification"),
    metrics: top.mapping("metrics"),
    training: top.mapping("training"),
  });
  for (const part of [top, example, latent, likelihood, prior]) part.finish();
  checkNames(manifest);
  return manifest;
}

/** @param {Manifest} manifest */
function checkNames(manifest) {
  const { conditions, files, parameters, priorFile, variants } = manifest;
  if (new Set([...parameters, "x"]).size !== parameters.length + 1) {
    throw new BundleError(`${MANIFEST_NAME}: likelihood.parameters must be distinct names other than 'x'`);
  }
  const taken = new Set([...RESERVED, ...parameters]);
  for (const { name } of conditions) {
    if (!CONDITION_NAME.test(name) || taken.has(name)) {
      throw new BundleError(`${MANIFEST_NAME}: conditions: ${quote(name)} cannot be the name of a condition`);
    }
  }
  for (const [place, names] of Object.entries({ files, variants })) {
    const invalid = Object.keys(names).find((name) => !BARE_NAME.test(name));
    if (invalid !== undefined) {
      throw new BundleError(
        `${MANIFEST_NAME}: ${place}: ${quote(invalid)} is not a bare name (letters, digits, '.', '_', '-')`,
      );
    }
  }
  if (!Object.keys(variants).length) {
    throw new BundleError(`${MANIFEST_NAME}: variants is empty; expected at least one variant`);
  }
  const used = Object.values(variants).flatMap((variant) => {
    return [variant.encoder, variant.decoder, variant.reference, variant.calibration];
  });
  for (const name of [priorFile, ...used]) {
    if (name !== null && !(name in files)) {
      throw new BundleError(`${MANIFEST_NAME}: ${quote(name)} is used, but it is not listed under files`);
    }
  }
}

/**
 * Read the variants. In format 1 only fp32 has a reference, and `reference` is a field of the whole manifest.
 *
 * @param {Fields} top
 * @param {number} version
 */
function readVariants(top, version) {
  const entries = top.fields("variants").entries();
  const reference = version === 1 ? top.text("reference") : null;
  return byName(entries, (entry, name) => {
    const ownReference = version > 1 ? entry.text("reference") : null;
    const variant = {
      encoder: entry.text("encoder"),
      decoder: entry.text("decoder"),
      opset: entry.integer("opset"),
      irVersion: entry.integer("ir_version"),
      reference: name === "fp32" && version === 1 ? reference : ownReference,
      calibration: entry.has("calibration") ? entry.text("calibration") : null,
      measured: entry.mapping("measured"),
    };
    entry.finish();
    return variant;
  });
}

/** @param {Fields} entry */
function readFile(entry) {
  const file = { sha256: entry.matching("sha256", SHA256), bytes: entry.integer("bytes") };
  entry.finish();
  return file;
}

/**
 * @param {[string, Fields]} entry
 * @returns {Condition}
 */
function readCondition([name, entry]) {
  const dtype = entry.text("dtype");
  if (dtype !== "int64" && dtype !== "float32") throw entry.error("dtype", "'int64' or 'float32'");
  const classes = { empty: dtype === "float32" };
  const condition = {
    name,
    dtype,
    shape: entry.shape("shape", { scalar: true }),
    classes: entry.texts("classes", classes),
  };
  entry.finish();
  return Object.freeze(condition);
}

/** @param {Fields} example */
function readEncoding(example) {
  if (!example.has("encoding")) return null;
  const encoding = example.fields("encoding");
  const [dtype, scale] = [encoding.text("dtype"), encoding.integer("scale")];
  encoding.finish();
  if (dtype !== "uint8" || scale !== 255) throw example.error("encoding", "uint8 with scale 255");
  if (example.range("range")?.join() !== "0,1")
    throw example.error("range", "[0, 1], because the input has an encoding");
  return dtype;
}

/**
 * @param {Fields} example
 * @returns {readonly string[]}
 */
function readFeatures(example) {
  if (!example.has("features")) return Object.freeze([]);
  const [names, shape] = [example.texts("features"), example.shape("shape")];
  const distinct = new Set(names).size === names.length;
  if (shape.length !== 1 || shape[0] !== names.length || !distinct || names.includes("")) {
    throw example.error("features", "distinct, non-empty names: one for each element of x, which must have one axis");
  }
  return names;
}

/**
 * @param {Fields} likelihood
 * @param {number} version
 * @returns {readonly [number, number] | null}
 */
function readLogScaleRange(likelihood, version) {
  if (version === 1) {
    const limits = LOG_SCALE_RANGES.get(likelihood.text("name"));
    return limits ? Object.freeze(/** @type {[number, number]} */ (limits)) : null;
  }
  if (!likelihood.has("log_scale_range")) return null;
  const limits = likelihood.range("log_scale_range");
  if (limits === null || likelihood.texts("parameters").slice(1).join() !== "log_scale") {
    throw likelihood.error(
      "log_scale_range",
      "[minimum, maximum]; the likelihood must have two parameters, and the second must be log_scale",
    );
  }
  return limits;
}

/**
 * Return a frozen object, without a prototype, that has the frozen result of `read` for each name.
 *
 * @template {object} T
 * @param {[string, Fields][]} entries
 * @param {(entry: Fields, name: string) => T} read
 * @returns {Readonly<Record<string, T>>}
 */
function byName(entries, read) {
  /** @type {Record<string, T>} */
  const result = Object.create(null);
  for (const [name, entry] of entries) result[name] = Object.freeze(read(entry, name));
  return Object.freeze(result);
}
