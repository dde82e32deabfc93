/** Reads the files of a bundle, and verifies them against the manifest. */

import { BundleError, BundleNotFoundError, InputError } from "./errors.js";
import { MANIFEST_NAME } from "./manifest.js";
import { describe, quote, withCommas } from "./messages.js";
import { sha256OfBytes } from "./sha256.js";

/**
 * @typedef {Uint8Array | ArrayBuffer | Blob} Content The content of a file.
 * @typedef {URL | string | Map<string, Content> | Record<string, Content>} Source The URL of a bundle's folder, or the
 *   content of each file by its name.
 *
 * @typedef {object} Files
 * @property {string} where Location of the bundle. The location of a file is `${where}/${name}`.
 * @property {(name: string, maxBytes?: number) => Promise<Uint8Array>} read Read a file of at most `maxBytes` bytes. It
 *   rejects with BundleNotFoundError if the file is missing, and with BundleError if it is too large or unreadable.
 */

/**
 * Open the files of a bundle. Nothing is read yet.
 *
 * @param {Source} source A URL without a host is relative to the page.
 * @returns {Files}
 * @throws {InputError} `source` is neither a URL nor an object.
 */
export function openFiles(source) {
  if (typeof source === "string" || source instanceof URL) return openFolder(source);
  if (typeof source !== "object" || source === null || Array.isArray(source)) {
    throw new InputError(
      `the bundle is ${describe(source)}; expected the URL of a folder, or an object from file names to contents`,
    );
  }
  const files = source instanceof Map ? source : new Map(Object.entries(source));
  const where = "bundle";
  return { where, read: (name, maxBytes = Infinity) => readContent(files.get(name), `${where}/${name}`, maxBytes) };
}

/**
 * Read a file that the manifest lists, and verify it.
 *
 * @param {Files} files
 * @param {import("./manifest.js").Manifest} manifest
 * @param {string} name A name in `manifest.files`.
 * @returns {Promise<Uint8Array>}
 * @throws {BundleNotFoundError} The file is missing.
 * @throws {BundleError} The size or the SHA-256 of the file differs from the manifest.
 */
export async function readVerified(files, manifest, name) {
  const entry = manifest.files[name];
  const content = await files.read(name, entry.bytes);
  if (content.length !== entry.bytes) {
    throw new BundleError(
      `${files.where}/${name} has ${withCommas(content.length)} bytes, and the manifest says ` +
        `${withCommas(entry.bytes)}: the file was cut short; copy the bundle again`,
    );
  }
  if ((await sha256(content)) !== entry.sha256) {
    throw new BundleError(
      `${files.where}/${name} is not the file that was exported (its SHA-256 differs from the manifest's); copy the ` +
        "bundle again, or export it again",
    );
  }
  return content;
}

/**
 * Return the SHA-256 of bytes as 64 lower-case hexadecimal digits.
 *
 * @param {Uint8Array} bytes
 * @returns {Promise<string>}
 */
export async function sha256(bytes) {
  // Browsers offer crypto.subtle only to pages that come over HTTPS, from localhost, or from a local file.
  const subtle = globalThis.crypto?.subtle;
  const digest = subtle
    ? new Uint8Array(await subtle.digest("SHA-256", /** @type {Uint8Array<ArrayBuffer>} */ (bytes)))
    : sha256OfBytes(bytes);
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * @param {URL | string} source
 * @returns {Files}
 */
function openFolder(source) {
  /** @type {URL} */
  let folder;
  try {
    folder = new URL(source, globalThis.document?.baseURI ?? globalThis.location?.href);
  } catch (error) {
    throw new InputError(
      `${quote(String(source))} is not a URL; expected the URL of a bundle's folder, or an object from file names to ` +
        "contents",
      {
        cause: error,
      },
    );
  }
  folder.pathname = folder.pathname.replace(/\/$/, "");
  folder.hash = "";
  const { search } = folder;
  folder.search = "";
  const where = folder.href;
  return { where, read: (name, maxBytes = Infinity) => fetchContent(`${where}/${name}`, search, maxBytes) };
}

/**
 * @param {Content | undefined} content
 * @param {string} where Location of the file, for errors.
 * @param {number} maxBytes
 */
async function readContent(content, where, maxBytes) {
  if (content === undefined) throw missing(where);
  if (content instanceof Blob) {
    try {
      return await readStream(content.stream(), maxBytes, () => tooLarge(where, maxBytes));
    } catch (error) {
      throw error instanceof BundleError ? error : unreadable(where, error);
    }
  }
  if (!(content instanceof ArrayBuffer || content instanceof Uint8Array)) {
    throw new InputError(`${where} is ${describe(content)}; expected a Uint8Array, an ArrayBuffer or a Blob`);
  }
  const bytes = content instanceof ArrayBuffer ? new Uint8Array(content) : content;
  if (bytes.length > maxBytes) throw tooLarge(where, maxBytes);
  return bytes;
}

/**
 * @param {string} where URL of the file without its query, for errors.
 * @param {string} search Query of the URL, which may hold an access token.
 * @param {number} maxBytes
 */
async function fetchContent(where, search, maxBytes) {
  try {
    const response = await fetch(where + search);
    if (response.status === 404 || response.status === 410) throw missing(where);
    if (!response.ok) throw new BundleError(`${where} cannot be read: the server answers ${response.status}`);
    return await readStream(response.body, maxBytes, () => tooLarge(where, maxBytes));
  } catch (error) {
    throw error instanceof BundleError ? error : unreadable(where, error);
  }
}

/**
 * Read a stream of bytes to its end, or until it has more bytes than allowed.
 *
 * @param {ReadableStream<Uint8Array> | null} stream
 * @param {number} maxBytes
 * @param {() => Error} tooMany Returns the error to throw for more bytes.
 * @returns {Promise<Uint8Array<ArrayBuffer>>}
 */
export async function readStream(stream, maxBytes, tooMany) {
  const reader = (stream ?? new Blob([]).stream()).getReader();
  /** @type {Uint8Array[]} */
  const chunks = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    length += value.length;
    if (length > maxBytes) {
      reader.cancel().catch(() => undefined); // without waiting, because a server may never answer
      throw tooMany();
    }
    chunks.push(value);
  }
  const content = new Uint8Array(length);
  let position = 0;
  for (const chunk of chunks) {
    content.set(chunk, position);
    position += chunk.length;
  }
  return content;
}

/** @param {string} where */
function missing(where) {
  const isManifest = where.endsWith(`/${MANIFEST_NAME}`);
  const advice = isManifest ? "expected a folder that `vaedge export` wrote" : "copy the whole bundle again";
  return new BundleNotFoundError(`${where} is missing: ${advice}`);
}

/**
 * @param {string} where
 * @param {number} maxBytes
 */
function tooLarge(where, maxBytes) {
  return new BundleError(`${where} is larger than ${withCommas(maxBytes)} bytes: the exporter did not write this file`);
}

/**
 * @param {string} where
 * @param {unknown} error
 */
function unreadable(where, error) {
  const reason = error instanceof Error ? error.message : String(error);
  return new BundleError(`${where} cannot be read: ${reason}`, { cause: error });
}
