/** The input with its reconstruction, error, posterior, bounds, and p-value. */

import { create, fill, format } from "./elements.js";
import { ImageInput } from "./image_input.js";
import { PosteriorChart } from "./posterior.js";
import { latest } from "./store.js";
import { TableInput } from "./table_input.js";
import { createView } from "./views.js";

/**
 * @typedef {import("./store.js").Store} Store
 * @typedef {import("./model.js").Model} Model
 * @typedef {import("./views.js").Kind} Kind
 */

/** Number of draws for the bound. */
const DRAWS = 16;

/** Names and explanations of the numbers. */
const NUMBERS = {
  bound: ["Bound", `importance-weighted bound on log p(x), nats, ${DRAWS} draws`],
  elbo: ["ELBO", "evidence lower bound, nats"],
  distortion: ["Distortion", "\u2212log p(x|z), mean over the draws, nats"],
  rate: ["Rate", "KL divergence of the posterior from the prior, nats"],
  pValue: ["p-value", "share of normal examples that are at least as unusual"],
};

/**
 * Show the section "Input".
 *
 * @param {Model} model
 * @param {Kind} kind
 * @param {Store} store
 * @param {(error: unknown) => void} report
 */
export function showInput(model, kind, store, report) {
  /** @param {Float32Array} x */
  const change = (x) => store.set({ x, source: "own" });
  const note = create("p", { className: "quiet", role: "status" });
  if (!kind.isImage && kind.names.length < kind.size) {
    note.textContent = `The first ${kind.names.length} of ${kind.size} columns are shown.`;
  }
  /** @param {string} text */
  const showNote = (text) => {
    note.textContent = text;
  };
  const input = kind.isImage
    ? new ImageInput(kind, change, showNote, backgroundOf(model, kind))
    : new TableInput(kind, change);
  const chart = new PosteriorChart(model.order);
  const numbers = new Numbers();
  const scoringNote = create("p", { className: "quiet" });
  fill("input", input.element, note, createExamples(model, kind, store), numbers.element, scoringNote, chart.element);

  const analyze = latest(async () => {
    const { vae } = model;
    const x = store.state.x;
    input.show(x);
    const options = { conditions: model.asConditions(store.state.conditions) };
    const batch = { data: x, shape: [1, ...vae.inputShape] };
    const { mean, logVar } = await vae.encode(batch, options);
    chart.show(mean.data, logVar.data);
    const reconstruction = await vae.decode(mean, options);
    const errors = x.map((value, i) => Math.abs(value - reconstruction.data[i]));
    input.showResult(reconstruction.data, errors, [0, (kind.range[1] - kind.range[0]) / 2], "Absolute error");
    if (store.state.x === x && pending === x) {
      pending = null;
      store.set({ z: mean.data.slice() });
    }
    const { notes, maps } = await score(batch, options);
    scoringNote.textContent = notes.join(" ");
    if (maps && vae.calibration)
      input.showResult(reconstruction.data, maps.data, vae.calibration.mapRange, "Distortion");
  }, report);

  /**
   * Show the results of an input, such as its bound. Return notes about the results, and the distortion of each
   * element if there is a calibration.
   *
   * @param {{data: Float32Array, shape: number[]}} batch
   * @param {object} options
   */
  async function score(batch, options) {
    const { vae } = model;
    const isBinary = vae.manifest.likelihood === "bernoulli";
    const rounded = isBinary && batch.data.some((value) => value !== 0 && value !== 1);
    const x = rounded ? { data: batch.data.map((value) => (value >= 0.5 ? 1 : 0)), shape: batch.shape } : batch;
    /** @type {string[]} */
    const notes = [];
    if (rounded) notes.push("The likelihood is a Bernoulli. Therefore, the input was rounded to 0 and 1.");
    if (vae.manifest.likelihood === "bce_surrogate") {
      notes.push("bce_surrogate is not a normalized likelihood: compare its numbers only with each other.");
    }
    let maps = null;
    /** @type {Record<string, number>} */
    const values = {};
    try {
      const { bound, elbo, rate, distortion } = await vae.bounds(x, { k: DRAWS, seed: 0, ...options });
      Object.assign(values, { bound: bound[0], elbo: elbo[0], rate: rate[0], distortion: distortion[0] });
      if (vae.calibration) {
        const falseAlarmRate = Math.max(0.01, vae.calibration.smallestRate);
        const detection = await vae.detect(x, { falseAlarmRate, maps: true, ...options });
        values.pValue = detection.pValue[0];
        maps = detection.maps;
      }
    } catch (error) {
      if (!(error instanceof Error) || error.name !== "InputError") throw error;
      notes.push(error.message);
    }
    numbers.show(values);
    return { notes, maps };
  }

  /** @type {Float32Array | null} Input whose posterior mean replaces the latents. */
  let pending = null;
  store.on(["x"], (changes) => {
    pending = changes.z === undefined ? store.state.x : null;
  });
  store.on(["x", "conditions", "variant"], () => void analyze());
  return analyze;
}

/**
 * Create buttons for the examples of the reference.
 *
 * @param {Model} model
 * @param {Kind} kind
 * @param {Store} store
 */
function createExamples(model, kind, store) {
  const buttons = Array.from({ length: model.examples }, (_, i) => {
    const button = create("button", { type: "button", className: "example", "aria-label": `Example ${i + 1}` });
    if (kind.isImage) {
      const view = createView(kind, "");
      view.show(model.x, i * kind.size);
      view.element.setAttribute("aria-hidden", "true");
      button.append(view.element);
    } else button.textContent = String(i + 1);
    button.addEventListener("click", () => store.set(exampleState(model, kind, i)));
    return button;
  });
  const mark = () => {
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(store.state.source === `r${i}`)));
  };
  store.on(["x"], mark);
  mark();
  return create("div", { className: "examples", role: "group", "aria-label": "Examples" }, ...buttons);
}

/**
 * Return the new values of the state that select an example as the input.
 *
 * @param {Model} model
 * @param {Kind} kind
 * @param {number} i
 */
export function exampleState(model, kind, i) {
  const values = Object.entries(model.exampleConditions).map(([name, rows]) => [name, rows[i]]);
  return {
    x: model.x.slice(i * kind.size, (i + 1) * kind.size),
    source: `r${i}`,
    conditions: Object.fromEntries(values),
  };
}

class Numbers {
  constructor() {
    this.values = new Map(Object.keys(NUMBERS).map((name) => [name, create("dd", {})]));
    this.parts = Object.entries(NUMBERS).map(([name, [label, title]]) =>
      create(
        "div",
        { title },
        create("dt", { textContent: label }),
        /** @type {HTMLElement} */ (this.values.get(name)),
      ),
    );
    this.element = create("dl", { className: "numbers" }, ...this.parts);
  }

  /** @param {Record<string, number>} values Numbers to show, by name. All other numbers are hidden. */
  show(values) {
    Object.keys(NUMBERS).forEach((name, i) => {
      this.parts[i].hidden = !(name in values);
      const digits = name === "pValue" ? 3 : 5;
      const text = name in values ? format(values[name], digits) : "";
      /** @type {HTMLElement} */ (this.values.get(name)).textContent = text;
    });
  }
}

/**
 * Return the value of the pixels of an empty canvas: the lower or the upper limit of the range, whichever is closer to
 * the mean of the examples.
 *
 * @param {Model} model
 * @param {Kind} kind
 */
function backgroundOf(model, { range }) {
  const mean = model.x.reduce((sum, value) => sum + value, 0) / model.x.length;
  return mean <= (range[0] + range[1]) / 2 ? range[0] : range[1];
}
