/** Views of examples: an image on a canvas, or a row of numbers. */

import { elementsOf } from "../arrays.js";
import { create, format } from "./elements.js";

/**
 * @typedef {object} Kind Description of the examples of a bundle.
 * @property {boolean} isImage
 * @property {number} channels
 * @property {number} height
 * @property {number} width
 * @property {number} size Number of elements of one example.
 * @property {string[]} names Names of the elements that a table shows.
 * @property {[number, number]} range Smallest and largest value that is shown.
 * @property {[number, number][]} ranges Smallest and largest value that is shown, for each column of a table.
 */

/**
 * @typedef {object} View
 * @property {HTMLElement} element
 * @property {(values: Float32Array, offset?: number) => void} show
 */

/** Maximum number of columns that a table shows. */
const MAX_COLUMNS = 64;

/**
 * Describe the examples of a bundle. Without a range in the manifest, the range of the example rows is used.
 *
 * @param {import("../manifest.js").Manifest} manifest
 * @param {Float32Array} rows Example values.
 * @returns {Kind}
 */
export function describeExamples(manifest, rows) {
  const shape = manifest.inputShape;
  const isImage = shape.length === 3 && (shape[0] === 1 || shape[0] === 3);
  const [channels, height, width] = isImage ? shape : [1, 1, 1];
  const size = elementsOf(shape);
  const names = Array.from(
    { length: isImage ? 0 : Math.min(size, MAX_COLUMNS) },
    (_, i) => manifest.features[i] ?? `x${i}`,
  );
  const [low, high] = manifest.inputRange ?? rangeOf(rows);
  const ranges = names.map((_, i) => {
    if (manifest.inputRange) return /** @type {[number, number]} */ ([low, high]);
    const [first, last] = rangeOf(rows.filter((_value, position) => position % size === i));
    return /** @type {[number, number]} */ ([first - (last - first) / 2, last + (last - first) / 2]);
  });
  return { isImage, channels, height, width, size, names, range: [low, high], ranges };
}

/**
 * Create a view of one example.
 *
 * @param {Kind} kind
 * @param {string} label Description for screen readers.
 * @returns {View}
 */
export const createView = (kind, label) => (kind.isImage ? new ImageView(kind, label) : new RowView(kind, label));

/** An image. All images are drawn into the same buffer, so that a moving slider causes no new allocations. */
export class ImageView {
  /**
   * @param {Kind} kind
   * @param {string} label
   */
  constructor(kind, label) {
    this.kind = kind;
    const { width, height } = kind;
    this.element = create("canvas", { width, height, role: "img", "aria-label": label });
    this.element.className = Math.max(width, height) > 96 ? "image smooth" : "image";
    this.context = /** @type {CanvasRenderingContext2D} */ (this.element.getContext("2d"));
    this.pixels = this.context.createImageData(width, height);
    this.pixels.data.fill(255);
  }

  /**
   * Show an image.
   *
   * @param {Float32Array} values Values of shape (channels, height, width).
   * @param {number} [offset] Position of the first value.
   */
  show(values, offset = 0) {
    const { channels, range } = this.kind;
    const { data } = this.pixels;
    const count = this.pixels.width * this.pixels.height;
    const scale = 255 / (range[1] - range[0]);
    for (let i = 0; i < count; i += 1) {
      for (let c = 0; c < 3; c += 1) {
        // The array is a Uint8ClampedArray, which rounds and clips the value.
        data[4 * i + c] = (values[offset + (channels === 3 ? c * count + i : i)] - range[0]) * scale;
      }
    }
    this.context.putImageData(this.pixels, 0, 0);
  }

  /**
   * Show the error of each pixel in a color from black to light yellow. The error of a pixel is the mean over its
   * channels.
   *
   * @param {Float32Array} errors Errors of shape (channels, height, width).
   * @param {ArrayLike<number>} range The two errors that are shown in the first and in the last color.
   */
  showErrors(errors, range) {
    const { channels } = this.kind;
    const { data } = this.pixels;
    const count = this.pixels.width * this.pixels.height;
    for (let i = 0; i < count; i += 1) {
      let sum = 0;
      for (let c = 0; c < channels; c += 1) sum += errors[c * count + i];
      const position = (sum / channels - range[0]) / (range[1] - range[0]);
      const color = Math.round(255 * Math.min(1, Math.max(0, position))) * 3;
      for (let c = 0; c < 3; c += 1) data[4 * i + c] = HEAT[color + c];
    }
    this.context.putImageData(this.pixels, 0, 0);
  }
}

/** One example of a table as a list of its columns. Each column has a name, a bar, and a number. */
class RowView {
  /**
   * @param {Kind} kind
   * @param {string} label
   */
  constructor(kind, label) {
    this.kind = kind;
    this.numbers = kind.names.map(() => create("td", { className: "number" }));
    this.bars = kind.names.map(() => create("span", { className: "bar" }));
    const rows = kind.names.map((name, i) =>
      create(
        "tr",
        {},
        create("th", { scope: "row", textContent: name }),
        create("td", { className: "track", "aria-hidden": "true" }, this.bars[i]),
        this.numbers[i],
      ),
    );
    this.element = create("div", { className: "scroll" }, create("table", { "aria-label": label }, ...rows));
  }

  /**
   * @param {Float32Array} values
   * @param {number} [offset] Position of the first value.
   */
  show(values, offset = 0) {
    for (let i = 0; i < this.numbers.length; i += 1) {
      const [low, high] = this.kind.ranges[i];
      const value = values[offset + i];
      this.numbers[i].textContent = format(value);
      this.bars[i].style.width = `${100 * Math.min(1, Math.max(0, (value - low) / (high - low)))}%`;
    }
  }
}

/**
 * Create a table of several examples, one per row.
 *
 * @param {Kind} kind
 * @param {string} label
 * @returns {{element: HTMLElement, show: (rows: Float32Array) => void, rows: HTMLTableRowElement[]}}
 */
export function createTable(kind, label) {
  const head = create(
    "tr",
    {},
    ...kind.names.map((name) => create("th", { scope: "col", className: "number", textContent: name })),
  );
  const body = create("tbody");
  const table = create("table", { "aria-label": label }, create("thead", {}, head), body);
  const result = { element: create("div", { className: "scroll" }, table), show, rows: [...body.rows] };
  /** @param {Float32Array} values */
  function show(values) {
    const count = values.length / kind.size;
    const rows = Array.from({ length: count }, (_, row) =>
      create("tr", {}, ...kind.names.map((_name, i) => cell(values[row * kind.size + i]))),
    );
    body.replaceChildren(...rows);
    result.rows = rows;
  }
  return result;
}

/** @param {number} value */
const cell = (value) => create("td", { className: "number", textContent: format(value) });

/**
 * @param {Float32Array} values
 * @returns {[number, number]}
 */
function rangeOf(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return low < high ? [low, high] : [(low || 0) - 1, (low || 0) + 1];
}

/** Colors of errors: black, purple, red, orange, light yellow. */
const HEAT = interpolateColors([
  [0, 0, 4],
  [87, 16, 110],
  [188, 55, 84],
  [249, 142, 9],
  [252, 255, 164],
]);

/** @param {number[][]} stops */
function interpolateColors(stops) {
  const table = new Uint8ClampedArray(256 * 3);
  for (let i = 0; i < 256; i += 1) {
    const position = (i / 255) * (stops.length - 1);
    const first = Math.min(Math.floor(position), stops.length - 2);
    for (let c = 0; c < 3; c += 1) {
      table[3 * i + c] = stops[first][c] + (position - first) * (stops[first + 1][c] - stops[first][c]);
    }
  }
  return table;
}
