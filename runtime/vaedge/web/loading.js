/**
 * Read, verify and open one variant of a bundle.
 *
 * @typedef {object} Model An opened variant.
 * @property {import("./manifest.js").Manifest} manifest
 * @property {string} variant Name of the variant.
 * @property {string} sha256 SHA-256 of manifest.json.
 * @property {string} where Location of the bundle, for errors.
 * @property {import("./session.js").Graph} encoder
 * @property {import("./session.js").Graph} decoder
 * @property {import("./prior.js").Prior} prior
 * @property {import("./detection.js").Calibration | null} calibration
 * @property {(name: string) => Promise<Uint8Array>} readFile Read and verify a file that the manifest lists.
 */

import { readCalibration } from "./detection.js";
import { BundleError, InputError } from "./errors.js";
import { openFiles, readVerified, sha256 } from "./files.js";
import { checkGraph, requireSignature, signature } from "./graphs.js";
import { MANIFEST_NAME, MAX_MANIFEST_BYTES, readManifest } from "./manifest.js";
import { readNpz } from "./npz.js";
import { asOptions } from "./options.js";
import { readPrior } from "./prior.js";
import { Graph } from "./session.js";
import { VAE } from "./vae.js";

/**
 * Load a variant of a bundle. Every file is verified against the manifest, and both graphs are checked.
 *
 * @param {string | URL | Map<string, Uint8Array | ArrayBuffer | Blob> | Record<string, Uint8Array | ArrayBuffer | Blob>} source
 *   URL of the bundle's folder, or the files of the bundle by name.
 * @param {{variant?: string, sha256?: string | null, ort?: any}} [options] `variant`: name of the variant, "fp32" by
 *   default. `sha256`: expected SHA-256 of manifest.json; null accepts any manifest. `ort`: the module onnxruntime-web;
 *   by default, this function imports it.
 * @returns {Promise<VAE>}
 * @throws {BundleNotFoundError} A file is missing.
 * @throws {BundleError} A file is invalid, or differs from the manifest.
 * @throws {InputError} The bundle does not have the variant, `sha256` is not 64 hexadecimal digits, or an option is
 *   unknown.
 */
export async function load(source, options) {
  const defaults = { variant: "fp32", sha256: null, ort: undefined };
  const { variant, sha256: expected, ort } = asOptions("load", options, defaults);
  const files = openFiles(source);
  const { where } = files;
  const bytes = await files.read(MANIFEST_NAME, MAX_MANIFEST_BYTES);
  const digest = await sha256(bytes);
  requireSha256(digest, expected, `${where}/${MANIFEST_NAME}`);
  const manifest = readManifest(bytes, where);
  if (typeof variant !== "string" || !Object.hasOwn(manifest.variants, variant)) {
    throw new InputError(`${where} has no variant '${variant}'; it has ${Object.keys(manifest.variants).join(", ")}`);
  }
  const readFile = (/** @type {string} */ name) => readVerified(files, manifest, name);
  const entry = manifest.variants[variant];
  const readArrays = async (/** @type {string | null} */ name) => {
    if (!name) return null;
    const content = await readFile(name);
    return refused(`${where}/${name} is refused`, () => readNpz(content));
  };
  const [encoder, decoder, priorArrays, calibrationArrays] = await Promise.all([
    readFile(entry.encoder),
    readFile(entry.decoder),
    readArrays(manifest.priorFile),
    readArrays(entry.calibration),
  ]);
  const prior = await refused(`${where}/${manifest.priorFile} is refused`, () => readPrior(manifest, priorArrays));
  const identifier = await modelSha256(manifest, variant);
  const calibration = calibrationArrays
    ? await refused(`${where}/${entry.calibration} is refused as a calibration`, () =>
        readCalibration(calibrationArrays, identifier),
      )
    : null;
  for (const [kind, graph] of /** @type {const} */ ([
    ["encoder", encoder],
    ["decoder", decoder],
  ])) {
    checkGraph(graph, variant, `${where}/${entry[kind]}`);
    requireSignature(graph, manifest, kind, `${where}/${entry[kind]}`);
  }
  const runtime = ort ?? (await import("onnxruntime-web"));
  const open = (/** @type {Uint8Array} */ graph, /** @type {string} */ name) =>
    Graph.open(runtime, graph, signature(graph), `${where}/${name}`);
  const graphs = { encoder: await open(encoder, entry.encoder), decoder: await open(decoder, entry.decoder) };
  return new VAE({ manifest, variant, sha256: digest, where, readFile, prior, calibration, ...graphs });
}

/**
 * Call a function, and return its result. If it throws a BundleError, throw one whose message begins with `what`.
 *
 * @template T
 * @param {string} what Beginning of the message, which names the file.
 * @param {() => T | Promise<T>} read
 * @returns {Promise<T>}
 */
async function refused(what, read) {
  try {
    return await read();
  } catch (error) {
    throw error instanceof BundleError ? new BundleError(`${what}: ${error.message}`, { cause: error }) : error;
  }
}

/**
 * @param {string} found
 * @param {string | null} expected
 * @param {string} where
 */
function requireSha256(found, expected, where) {
  if (expected === null) return;
  if (typeof expected !== "string" || !/^[0-9a-fA-F]{64}$/.test(expected)) {
    throw new InputError(`sha256 is '${expected}'; expected 64 hexadecimal digits, as \`vaedge info\` prints them`);
  }
  if (found !== expected.toLowerCase()) {
    throw new BundleError(`${where} has the SHA-256 ${found}; expected ${expected}. This is not the expected bundle`);
  }
}

/**
 * Return the SHA-256 that identifies the graphs and the prior of a variant.
 *
 * @param {import("./manifest.js").Manifest} manifest
 * @param {string} variant
 */
function modelSha256(manifest, variant) {
  const { encoder, decoder } = manifest.variants[variant];
  const names = [encoder, decoder, ...(manifest.priorFile ? [manifest.priorFile] : [])];
  const digests = names.flatMap((name) => manifest.files[name].sha256.match(/../g) ?? []);
  return sha256(Uint8Array.from(digests, (byte) => Number.parseInt(byte, 16)));
}
