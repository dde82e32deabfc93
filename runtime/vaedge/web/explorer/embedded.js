/** The files inside the page: the settings, the bundle, and ONNX Runtime. */

const WASM = "ort-wasm-simd-threaded.wasm";

/**
 * Read the settings of the page.
 *
 * @returns {{variants: string[], card: string}}
 */
export function readSettings() {
  return JSON.parse(document.getElementById("settings")?.textContent ?? "");
}

/**
 * Read the files of the bundle. Their content is not verified yet.
 *
 * @returns {Promise<Record<string, Uint8Array>>}
 */
export async function readFiles() {
  const elements = [...document.querySelectorAll("script[data-file]")].filter((element) => nameOf(element) !== WASM);
  const files = await Promise.all(elements.map(async (element) => [nameOf(element), await read(element)]));
  return Object.fromEntries(files);
}

/**
 * Prepare ONNX Runtime with the WebAssembly of the page.
 *
 * @returns {Promise<any>} The module onnxruntime-web.
 */
export async function openRuntime() {
  const ort = /** @type {any} */ (globalThis).onnxruntimeWeb;
  const element = document.querySelector(`script[data-file="${WASM}"]`);
  if (ort === undefined || element === null) throw damaged(WASM);
  ort.env.wasm.wasmBinary = await read(element);
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.proxy = false;
  ort.env.logLevel = "error";
  return ort;
}

/** @param {Element} element */
const nameOf = (element) => element.getAttribute("data-file") ?? "";

/**
 * Decode the file of an element, and remove its text from the page to free the memory.
 *
 * @param {Element} element
 */
async function read(element) {
  try {
    const text = atob(element.textContent ?? "");
    element.textContent = "";
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i += 1) bytes[i] = text.charCodeAt(i);
    if (element.getAttribute("data-encoding") !== "gzip") return bytes;
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  } catch (error) {
    throw damaged(nameOf(element), error);
  }
}

/**
 * @param {string} name
 * @param {unknown} [cause]
 */
function damaged(name, cause) {
  return new Error(`${name} inside this page is damaged or missing; make the page again with \`vaedge page\``, {
    cause,
  });
}
