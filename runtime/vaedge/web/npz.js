/**
 * Reads untrusted .npz files. The memory is limited.
 *
 * A .npz file is a zip archive of .npy files. Both formats declare the size of their content. The declared sizes are
 * read first. An array is created only if the declared sizes agree with each other and do not exceed the limits.
 */

import { BundleError } from "./errors.js";
import { readStream } from "./files.js";
import { quote, shown, withCommas } from "./messages.js";

/**
 * @typedef {{data: Float32Array<ArrayBuffer> | BigInt64Array<ArrayBuffer>, shape: number[]}} NpzArray
 *
 * @typedef {object} Member A file in the archive.
 * @property {string} name
 * @property {number} method Number of the method of compression.
 * @property {number} compressedSize
 * @property {number} size
 * @property {number} crc CRC-32 of the content.
 * @property {number} start Position of the local header.
 */

const MAX_BYTES = 2 ** 26; // maximum for all arrays together
const MAX_ARRAYS = 64;
const MAX_HEADER_BYTES = 4096; // maximum for the header of one array

const END = { signature: 0x06054b50, size: 22, maxComment: 0xffff };
const ENTRY = { signature: 0x02014b50, size: 46 };
const LOCAL = { signature: 0x04034b50, size: 30 };
/** Flags of encrypted or patched members. */
const REFUSED_FLAGS = 0x61;
const [STORED, DEFLATED] = [0, 8];
const SLICE = 2 ** 14; // compressed bytes to inflate at once, which expand to at most 16 MiB

const MAGIC = "\x93NUMPY";
const PREFIX_BYTES = 10; // magic string, version, and length of the header
/** The header as numpy writes it. The shape holds digits, commas and spaces. */
const HEADER = /^\{'descr': '([^']*)', 'fortran_order': (True|False), 'shape': \(([-0-9, ]*)\), ?\}\s*$/;
const DTYPES = new Map([
  ["<f4", "float32"],
  ["<i8", "int64"],
]);

/**
 * Read an archive of float32 and int64 arrays.
 *
 * @param {Uint8Array} bytes The content of the file.
 * @returns {Promise<Map<string, NpzArray>>}
 * @throws {BundleError} The content is not an archive of such arrays, or the arrays have more than 64 MiB. The message
 *   states the reason.
 */
export async function readNpz(bytes) {
  const members = readDirectory(bytes);
  if (members.length > MAX_ARRAYS) {
    throw new BundleError(`the archive holds ${members.length} arrays; at most ${MAX_ARRAYS} are allowed`);
  }
  if (members.reduce((total, member) => total + member.size, 0) > MAX_BYTES + MAX_ARRAYS * MAX_HEADER_BYTES) {
    throw new BundleError(`the arrays have more than ${withCommas(MAX_BYTES)} bytes together`);
  }
  const arrays = new Map();
  for (const member of members) {
    const name = member.name.replace(/\.npy$/, "");
    if (arrays.has(name)) throw new BundleError(`the archive holds the array ${quote(name)} twice`);
    arrays.set(name, readNpy(await readMember(bytes, member), quote(member.name)));
  }
  return arrays;
}

/** @param {string} reason */
const notAnArchive = (reason) => new BundleError(`the file is not an archive of arrays (${reason})`);

/**
 * Read the list of the members, which is at the end of an archive.
 *
 * @param {Uint8Array} bytes
 * @returns {Member[]}
 */
function readDirectory(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let end = bytes.length - END.size;
  const first = Math.max(0, end - END.maxComment);
  while (end >= first && view.getUint32(end, true) !== END.signature) end -= 1;
  if (end < first) throw notAnArchive("it has no list of members");
  let position = view.getUint32(end + 16, true);
  const stop = position + view.getUint32(end + 12, true);
  if (stop !== end) throw notAnArchive("its list of members is not at its end");
  /** @type {Member[]} */
  const members = [];
  while (position < stop) {
    if (position + ENTRY.size > stop || view.getUint32(position, true) !== ENTRY.signature) {
      throw notAnArchive("its list of members is damaged");
    }
    const nameEnd = position + ENTRY.size + view.getUint16(position + 28, true);
    if (view.getUint16(position + 8, true) & REFUSED_FLAGS) throw notAnArchive("it is encrypted");
    members.push({
      name: decode(bytes.subarray(position + ENTRY.size, nameEnd)),
      method: view.getUint16(position + 10, true),
      crc: view.getUint32(position + 16, true),
      compressedSize: view.getUint32(position + 20, true),
      size: view.getUint32(position + 24, true),
      start: view.getUint32(position + 42, true),
    });
    position = nameEnd + view.getUint16(position + 30, true) + view.getUint16(position + 32, true);
  }
  return members;
}

/**
 * Read the content of a member. Throw an error if its size differs from the size in the list of the members.
 *
 * @param {Uint8Array} bytes
 * @param {Member} member
 * @returns {Promise<Uint8Array>}
 */
async function readMember(bytes, { name, method, crc, compressedSize, size, start }) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (start + LOCAL.size > bytes.length || view.getUint32(start, true) !== LOCAL.signature) {
    throw notAnArchive(`${quote(name)} has no header`);
  }
  const nameEnd = start + LOCAL.size + view.getUint16(start + 26, true);
  if (decode(bytes.subarray(start + LOCAL.size, nameEnd)) !== name) {
    throw notAnArchive(`${quote(name)} has another name in its header`);
  }
  const begin = nameEnd + view.getUint16(start + 28, true);
  const compressed = bytes.subarray(begin, begin + compressedSize);
  if (method !== STORED && method !== DEFLATED) throw notAnArchive(`${quote(name)} has the compression ${method}`);
  const content = method === STORED ? compressed : await inflate(compressed, size, name);
  if (compressed.length !== compressedSize || content.length !== size) {
    throw notAnArchive(`${quote(name)} has another size than it declares`);
  }
  if (crc32(content) !== crc) throw notAnArchive(`${quote(name)} is damaged`);
  return content;
}

/**
 * @param {Uint8Array} compressed
 * @param {number} size Maximum number of bytes of the result.
 * @param {string} name
 */
async function inflate(compressed, size, name) {
  let position = 0;
  /** @type {ReadableStream<Uint8Array<ArrayBuffer>>} */
  const slices = new ReadableStream({
    pull(controller) {
      if (position >= compressed.length) return controller.close();
      controller.enqueue(compressed.slice(position, (position += SLICE)));
    },
  });
  const tooMany = () => notAnArchive(`${quote(name)} has more bytes than it declares`);
  try {
    return await readStream(slices.pipeThrough(new DecompressionStream("deflate-raw")), size, tooMany);
  } catch (error) {
    if (error instanceof BundleError) throw error;
    throw new BundleError(notAnArchive(`${quote(name)} cannot be inflated`).message, { cause: error });
  }
}

/**
 * @param {Uint8Array} content The content of a .npy file.
 * @param {string} name Its name in quotes, for errors.
 * @returns {NpzArray}
 */
function readNpy(content, name) {
  const [magic, major, minor] = [latin1(content.subarray(0, MAGIC.length)), content[6], content[7]];
  if (magic !== MAGIC || major !== 1 || minor !== 0) {
    throw new BundleError(`the array ${name} is not of version 1.0 of the .npy format`);
  }
  const start = PREFIX_BYTES + content[8] + 256 * content[9];
  if (start - PREFIX_BYTES > MAX_HEADER_BYTES) {
    throw notAnArchive(`the header of ${name} has more than ${withCommas(MAX_HEADER_BYTES)} bytes`);
  }
  const header = HEADER.exec(latin1(content.subarray(PREFIX_BYTES, start)));
  if (!header || start > content.length) throw notAnArchive(`the header of ${name} is damaged`);
  const [, descr, order, sizes] = header;
  const dtype = DTYPES.get(descr);
  if (!dtype || order === "True") {
    const found = `${dtype ?? shown(descr)}${order === "True" ? " in Fortran order" : ""}`;
    throw new BundleError(`the array ${name} is ${found}; expected float32 or int64 in C order`);
  }
  const shape = readShape(sizes);
  const data = content.slice(start).buffer; // a copy, because typed arrays must be aligned in memory
  const elementBytes = dtype === "int64" ? 8 : 4;
  if (!shape || shape.reduce((a, b) => a * b, 1) * elementBytes !== data.byteLength) {
    const found = `${withCommas(data.byteLength)} bytes, which do not match its shape ${shown(`(${sizes})`)}`;
    throw new BundleError(`the array ${name} has ${found}`);
  }
  return { data: dtype === "int64" ? new BigInt64Array(data) : new Float32Array(data), shape };
}

/**
 * Read the sizes in a tuple of Python, such as "2, 3" or "2,". Return null if they are not sizes.
 *
 * @param {string} text
 */
function readShape(text) {
  const sizes = text.split(",").map((size) => size.trim());
  if (sizes.at(-1) === "") sizes.pop();
  else if (sizes.length === 1) return null; // "(2)" is a number, not a tuple
  return sizes.every((size) => /^[0-9]+$/.test(size)) ? sizes.map(Number) : null;
}

/** @param {Uint8Array} bytes */
function decode(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw notAnArchive("the name of an array is not UTF-8 text");
  }
}

/** The CRC-32 of each byte. */
const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});

/** @param {Uint8Array} bytes */
function crc32(bytes) {
  let crc = -1;
  for (const byte of bytes) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ byte) & 0xff];
  return ~crc >>> 0;
}

/** @param {Uint8Array} bytes At most 4096 bytes. */
const latin1 = (bytes) => String.fromCharCode(...bytes);
