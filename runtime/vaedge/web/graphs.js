/**
 * Checks the content of a graph before ONNX Runtime reads it.
 *
 * An ONNX file can hold content that no VAE needs and that can do harm. Examples are functions that expand
 * exponentially, loops, external files, and operators that create large tensors from a few bytes or draw random
 * numbers. The tables below list the allowed content for each message type of onnx.proto. Any other field, operator or
 * size is an error.
 *
 * @typedef {{numbers: Map<number, number[]>, contents: Map<number, Uint8Array[]>}} Message The values by the
 *   number of the field. `numbers` has the fields with integers, and `contents` the fields with bytes.
 */

import { BundleError } from "./errors.js";
import { quote, shown, withCommas } from "./messages.js";
import { BYTES, FIXED32, packedVarints, readFields, readText, VARINT } from "./protobuf.js";

export { requireSignature, signature } from "./signature.js";

const [MIN_IR_VERSION, MAX_IR_VERSION] = [8, 10];
const [MIN_OPSET, MAX_OPSET] = [17, 20];
const MAX_NODES = 20_000;
const MAX_ELEMENTS = 2 ** 28; // maximum for a tensor; a constant that may be a shape must not describe more elements
const MAX_CONCATENATED = 64; // maximum number of inputs of all Concat nodes; each node could double a tensor's size
const MAX_SHAPE_AXES = 16; // int64 constants with more elements are not treated as shapes
const SENTINEL = 2n ** 62n; // integers from this value on are not sizes; in Slice, for example, they mean "to the end"
const CONTRIB_DOMAIN = "com.microsoft";

// The allowed fields of each message type: the numbers of the fields by wire type. Attributes hold no graphs, sparse
// tensors or types. Tensors hold their elements only in raw_data, not in other fields or files.
const MODEL = table({ [VARINT]: [1, 5], [BYTES]: [2, 3, 4, 6, 7, 8, 14] });
const OPERATOR_SET = table({ [VARINT]: [2], [BYTES]: [1] });
const GRAPH = table({ [BYTES]: [1, 2, 5, 10, 11, 12, 13, 16] });
const NODE = table({ [BYTES]: [1, 2, 3, 4, 5, 6, 7] });
const ATTRIBUTE = table({ [VARINT]: [3, 8, 20], [FIXED32]: [2, 7], [BYTES]: [1, 4, 5, 9, 13] });
const TENSOR = table({ [VARINT]: [1, 2, 14], [BYTES]: [8, 9, 12] });
/**
 * Fields that hold lists of numbers, by the wire type of the numbers. A list is either one field per number, or one
 * packed field.
 */
const PACKED = table({ [VARINT]: [1, 8], [FIXED32]: [7] });

/** Size of an element in bytes, by element type: float32, uint8, int8, int32, int64, bool, float16. */
const ELEMENT_BYTES = new Map([
  [1, 4],
  [2, 1],
  [3, 1],
  [6, 4],
  [7, 8],
  [9, 1],
  [10, 2],
]);
const INT64 = 7;

const OPERATORS = new Set(
  `Abs Add And AveragePool BatchNormalization Cast Ceil Celu Clip Concat Constant Conv ConvTranspose Cos DepthToSpace
  DequantizeLinear Div DynamicQuantizeLinear Elu Equal Erf Exp Expand Flatten Floor Gather Gelu Gemm GlobalAveragePool
  Greater GreaterOrEqual HardSigmoid HardSwish Identity InstanceNormalization LayerNormalization LeakyRelu Less
  LessOrEqual Log LogSoftmax MatMul MatMulInteger Max MaxPool Min Mish Mul Neg Not Or PRelu Pad Pow QuantizeLinear
  Reciprocal ReduceL2 ReduceMax ReduceMean ReduceMin ReduceSum Relu Reshape Resize Round Selu Shape Sigmoid Sign Sin
  Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Tanh Transpose Unsqueeze Where`.split(/\s+/),
);
const CONTRIB_OPERATORS = new Set(["MatMulNBits", "DequantizeLinear", "QuantizeLinear"]);

/**
 * Check that a serialized ONNX model has only allowed content.
 *
 * @param {Uint8Array} bytes The serialized model.
 * @param {string} variant Name of the variant. Variants other than fp32 may use the domain `com.microsoft`.
 * @param {string} where Location of the file, for errors.
 * @throws {BundleError} The bytes are not a model, or the model has content that is not allowed.
 */
export function checkGraph(bytes, variant, where) {
  try {
    checkModel(bytes, variant !== "fp32");
  } catch (error) {
    if (!(error instanceof BundleError)) throw error;
    throw new BundleError(`${where} is refused: ${error.message}`, { cause: error.cause });
  }
}

/**
 * @param {Uint8Array} content
 * @param {boolean} contrib Whether operators of the domain `com.microsoft` are allowed.
 */
function checkModel(content, contrib) {
  const model = read(content, "the model", MODEL);
  const version = number(model, 1);
  if (version < MIN_IR_VERSION || version > MAX_IR_VERSION) {
    throw new BundleError(`IR version ${version} is not allowed; expected ${MIN_IR_VERSION} to ${MAX_IR_VERSION}`);
  }
  const graphs = contents(model, 7);
  if (graphs.length !== 1) throw new BundleError(`the model holds ${graphs.length} graphs; expected one`);
  for (const message of contents(model, 8)) {
    const operatorSet = read(message, "an operator set", OPERATOR_SET);
    const [domain, found] = [text(operatorSet, 1), number(operatorSet, 2)];
    const isStandard = domain === "" && MIN_OPSET <= found && found <= MAX_OPSET;
    if (!isStandard && !(domain === CONTRIB_DOMAIN && contrib && found === 1)) {
      throw new BundleError(`operator set ${shown(domain) || "ai.onnx"} ${found} is not allowed`);
    }
  }
  const graph = read(graphs[0], "the graph", GRAPH);
  const nodes = contents(graph, 1);
  if (nodes.length > MAX_NODES) {
    throw new BundleError(
      `the graph has ${withCommas(nodes.length)} nodes; at most ${withCommas(MAX_NODES)} are allowed`,
    );
  }
  contents(graph, 5).forEach(checkTensor);
  const concatenated = nodes.reduce((total, node) => total + checkNode(node, contrib), 0);
  if (concatenated > MAX_CONCATENATED) {
    throw new BundleError(
      `the graph concatenates ${withCommas(concatenated)} tensors; at most ${MAX_CONCATENATED} are allowed`,
    );
  }
}

/**
 * Check one node of the graph. Return the number of its inputs if its operator is Concat, otherwise 0.
 *
 * @param {Uint8Array} message
 * @param {boolean} contrib
 */
function checkNode(message, contrib) {
  const node = read(message, "a node", NODE);
  const [operator, domain] = [text(node, 4), text(node, 7)];
  const isContrib = contrib && domain === CONTRIB_DOMAIN;
  if (!(domain === "" && OPERATORS.has(operator)) && !(isContrib && CONTRIB_OPERATORS.has(operator))) {
    throw new BundleError(`the operator ${shown(domain ? `${domain}.${operator}` : operator)} is not allowed`);
  }
  for (const attribute of contents(node, 5)) {
    const tensors = contents(read(attribute, `an attribute of ${operator}`, ATTRIBUTE), 5);
    if (tensors.length > 1) {
      // protobuf would merge them into one tensor
      throw new BundleError(`an attribute of ${operator} holds ${tensors.length} tensors; expected one`);
    }
    tensors.forEach(checkTensor);
  }
  return operator === "Concat" ? contents(node, 1).length : 0;
}

/** @param {Uint8Array} message */
function checkTensor(message) {
  const tensor = read(message, "a tensor", TENSOR);
  const [name, elementType, raw] = [quote(text(tensor, 8)), number(tensor, 2), contents(tensor, 9)];
  const elementBytes = ELEMENT_BYTES.get(elementType);
  if (elementBytes === undefined) {
    throw new BundleError(`the tensor ${name} has elements of type ${elementType}, which is not allowed`);
  }
  if (number(tensor, 14)) {
    throw new BundleError(`the tensor ${name} is stored in another file, which is not allowed`);
  }
  const dims = numbers(tensor, 1);
  const elements = dims.includes(0) ? 0 : dims.reduce((a, b) => a * b, 1);
  const length = raw.reduce((total, part) => total + part.length, 0);
  if (elements > MAX_ELEMENTS || raw.length > 1 || length !== elements * elementBytes) {
    throw new BundleError(
      `the tensor ${name} has ${withCommas(length)} bytes, which do not match its ${withCommas(elements)} elements`,
    );
  }
  if (elementType === INT64 && 0 < elements && elements <= MAX_SHAPE_AXES) {
    const view = new DataView(raw[0].buffer, raw[0].byteOffset, raw[0].length);
    let product = 1n;
    for (let position = 0; position < length; position += 8) {
      const size = view.getBigInt64(position, true);
      const magnitude = size < 0n ? -size : size;
      if (0n < magnitude && magnitude < SENTINEL) product *= magnitude;
    }
    if (product > MAX_ELEMENTS) {
      throw new BundleError(
        `the constant ${name} could be used as the shape of a tensor with more than ${withCommas(MAX_ELEMENTS)} elements`,
      );
    }
  }
}

/**
 * Read a protobuf message.
 *
 * @param {Uint8Array} message
 * @param {string} description
 * @param {Map<number, number>} allowed The wire type of each allowed field.
 * @returns {Message}
 */
function read(message, description, allowed) {
  /** @type {Message} */
  const found = { numbers: new Map(), contents: new Map() };
  for (const { number: field, wireType, value, content } of readFields(message)) {
    const expected = allowed.get(field);
    if (expected === undefined) {
      throw new BundleError(`${description} has the field ${field}, which is not allowed in a bundle`);
    }
    if (wireType === VARINT && wireType === expected) {
      append(found.numbers, field, value);
    } else if (wireType === expected) {
      append(found.contents, field, content);
    } else if (wireType === BYTES && PACKED.get(field) === expected) {
      if (expected === VARINT) for (const packed of packedVarints(content)) append(found.numbers, field, packed);
    } else {
      throw new BundleError(`field ${field} of ${description} has the wrong wire type ${wireType}`);
    }
  }
  return found;
}

/**
 * @template T
 * @param {Map<number, T[]>} lists
 * @param {number} field
 * @param {T} value
 */
function append(lists, field, value) {
  const list = lists.get(field);
  if (list) list.push(value);
  else lists.set(field, [value]);
}

/**
 * @param {Message} message
 * @param {number} field
 */
const contents = (message, field) => message.contents.get(field) ?? [];

/**
 * @param {Message} message
 * @param {number} field
 */
const numbers = (message, field) => message.numbers.get(field) ?? [];

/**
 * @param {Message} message
 * @param {number} field
 */
const number = (message, field) => numbers(message, field).at(-1) ?? 0;

/**
 * @param {Message} message
 * @param {number} field
 */
function text(message, field) {
  const last = contents(message, field).at(-1);
  return last ? readText(last, "a name in the graph") : "";
}

/**
 * Return the wire type of each field.
 *
 * @param {Record<number, number[]>} fields The numbers of the fields by wire type.
 */
function table(fields) {
  return new Map(
    Object.entries(fields).flatMap(([wireType, numbers]) => numbers.map((field) => [field, Number(wireType)])),
  );
}
