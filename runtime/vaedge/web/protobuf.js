/**
 * Minimal reader of protobuf messages, enough for ONNX models.
 *
 * A message is a sequence of fields. Each field starts with the varint `8 * number + wire type`, and the value follows.
 * See https://protobuf.dev/programming-guides/encoding.
 *
 * @typedef {object} Field
 * @property {number} number
 * @property {number} wireType
 * @property {number} value The integer of a varint. An integer above 2^53 is rounded. 0 for any other wire type.
 * @property {Uint8Array} content A view of the bytes of the value; empty for a varint.
 */

import { BundleError } from "./errors.js";

export const VARINT = 0;
export const BYTES = 2;
export const FIXED32 = 5;
/** @type {Map<number, number>} */
const FIXED_BYTES = new Map([
  [1, 8],
  [FIXED32, 4],
]);
const MAX_VARINT_BYTES = 10;
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Read the fields of a message in their order.
 *
 * @param {Uint8Array} message The serialized message.
 * @returns {Generator<Field, void>}
 * @throws {BundleError} The bytes are not a valid message.
 */
export function* readFields(message) {
  const reader = new Reader(message);
  while (!reader.atEnd) {
    const key = reader.varint();
    const [number, wireType] = [Math.floor(key / 8), key % 8];
    if (!number) throw new BundleError("a field has the invalid number 0; field numbers start at 1");
    if (wireType === VARINT) {
      yield { number, wireType, value: reader.varint(), content: message.subarray(0, 0) };
      continue;
    }
    const length = wireType === BYTES ? reader.varint() : FIXED_BYTES.get(wireType);
    if (length === undefined) throw new BundleError(`a field has the unknown wire type ${wireType}`);
    yield { number, wireType, value: 0, content: reader.bytes(length) };
  }
}

/**
 * Read the varints of a packed repeated field.
 *
 * @param {Uint8Array} content The bytes of the field.
 * @throws {BundleError} The last varint is cut short.
 */
export function packedVarints(content) {
  const reader = new Reader(content);
  const numbers = [];
  while (!reader.atEnd) numbers.push(reader.varint());
  return numbers;
}

/**
 * @param {Uint8Array} content
 * @param {string} place Description of the bytes, for the error.
 * @returns {string}
 * @throws {BundleError} The bytes are not UTF-8 text.
 */
export function readText(content, place) {
  try {
    return UTF8.decode(content);
  } catch (error) {
    throw new BundleError(`${place} is not UTF-8 text`, { cause: error });
  }
}

class Reader {
  /** @param {Uint8Array} content */
  constructor(content) {
    this.content = content;
    this.position = 0;
  }

  get atEnd() {
    return this.position >= this.content.length;
  }

  varint() {
    let value = 0;
    for (let index = 0; index < MAX_VARINT_BYTES; index += 1) {
      if (this.atEnd) throw new BundleError("the bytes end in the middle of a number");
      const byte = this.content[this.position];
      this.position += 1;
      value += (byte & 0x7f) * 2 ** (7 * index);
      if (byte < 0x80) return value;
    }
    throw new BundleError(`a number takes more than ${MAX_VARINT_BYTES} bytes`);
  }

  /** @param {number} length */
  bytes(length) {
    if (length > this.content.length - this.position)
      throw new BundleError("a protobuf field is longer than the message that contains it");
    this.position += length;
    return this.content.subarray(this.position - length, this.position);
  }
}
