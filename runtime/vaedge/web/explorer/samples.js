/** Samples from the prior, and an interpolation between two examples. */

import { create, fill } from "./elements.js";
import { latest } from "./store.js";
import { createTable, createView } from "./views.js";

/**
 * @typedef {import("./store.js").Store} Store
 * @typedef {import("./model.js").Model} Model
 * @typedef {import("./views.js").Kind} Kind
 */

const IMAGES = 24;
const ROWS = 12;
const STEPS = 8;

/**
 * Show the section "Samples".
 *
 * @param {Model} model
 * @param {Kind} kind
 * @param {Store} store
 * @param {(error: unknown) => void} report
 * @returns {() => Promise<void>} A function that draws the samples.
 */
export function showSamples(model, kind, store, report) {
  /** @type {Float32Array} */
  let z = new Float32Array(0);
  /** @param {number} i */
  const choose = (i) => store.set({ z: z.slice(i * model.latents, (i + 1) * model.latents) });
  const rows = kind.isImage ? createImages(kind, IMAGES, choose) : createChoosableTable(kind, choose);
  fill(
    "samples",
    createSeedField(store),
    rows.element,
    create("p", {
      className: "quiet",
      textContent:
        "Means of p(x|z) for draws from the prior. The same seed gives the same latents in Python. " +
        "Choose a sample to set the latents.",
    }),
  );

  const draw = latest(async () => {
    const conditions = model.asConditions(store.state.conditions);
    const latents = await model.vae.samplePrior(kind.isImage ? IMAGES : ROWS, { seed: store.state.seed });
    const x = await model.vae.decode(latents, { conditions });
    z = latents.data;
    rows.show(x.data);
  }, report);
  store.on(["seed", "conditions", "variant"], () => void draw());
  return draw;
}

/** @param {Store} store */
function createSeedField(store) {
  const input = create("input", {
    type: "text",
    inputMode: "numeric",
    pattern: "[0-9]+",
    autocomplete: "off",
    required: true,
  });
  input.addEventListener("change", () => {
    if (input.reportValidity()) store.set({ seed: input.value.replace(/^0+(?=\d)/, "") });
  });
  input.title = "a non-negative integer";
  const button = create("button", { type: "button", textContent: "New seed" });
  button.addEventListener("click", () => store.set({ seed: String(crypto.getRandomValues(new Uint32Array(1))[0]) }));
  const show = () => {
    input.value = store.state.seed;
  };
  store.on(["seed"], show);
  show();
  return create("div", { className: "buttons" }, create("label", { className: "seed" }, "Seed ", input), button);
}

/**
 * @param {Kind} kind
 * @param {number} count
 * @param {(i: number) => void} choose
 */
function createImages(kind, count, choose) {
  const views = Array.from({ length: count }, () => createView(kind, ""));
  const buttons = views.map((view, i) => {
    view.element.setAttribute("aria-hidden", "true");
    const button = create("button", { type: "button", "aria-label": `Sample ${i + 1}: set the latents` }, view.element);
    button.addEventListener("click", () => choose(i));
    return button;
  });
  /** @param {Float32Array} values */
  const show = (values) => views.forEach((view, i) => view.show(values, i * kind.size));
  return { element: create("div", { className: "grid" }, ...buttons), show };
}

/**
 * @param {Kind} kind
 * @param {(i: number) => void} choose
 */
function createChoosableTable(kind, choose) {
  const table = createTable(kind, "Samples");
  /** @param {Float32Array} values */
  const show = (values) => {
    table.show(values);
    table.rows.forEach((row, i) => {
      const button = create("button", {
        type: "button",
        textContent: String(i + 1),
        "aria-label": `Sample ${i + 1}: set the latents`,
      });
      button.addEventListener("click", () => choose(i));
      row.prepend(create("td", {}, button));
    });
  };
  table.element.querySelector("thead tr")?.prepend(create("td", {}));
  return { element: table.element, show };
}

/**
 * Show the section "Interpolation".
 *
 * @param {Model} model
 * @param {Kind} kind
 * @param {Store} store
 * @param {(error: unknown) => void} report
 * @returns {() => Promise<void>} A function that computes the interpolation.
 */
export function showInterpolation(model, kind, store, report) {
  const names = ["x", ...Array.from({ length: model.examples }, (_, i) => `r${i}`)];
  const selects = ["From", "To"].map((label, end) => {
    const options = names.map((value, i) =>
      create("option", { value, textContent: i === 0 ? "the input" : `example ${i}` }),
    );
    const select = create("select", {}, ...options);
    select.addEventListener("change", () => store.set({ ends: store.state.ends.with(end, select.value) }));
    return { select, element: create("label", {}, `${label} `, select) };
  });
  const views = Array.from({ length: kind.isImage ? STEPS : 0 }, (_, i) =>
    createView(kind, `Step ${i + 1} of ${STEPS}`),
  );
  const originals = ["Start of the interpolation", "End of the interpolation"].map((label) =>
    kind.isImage ? createView(kind, label) : null,
  );
  const table = kind.isImage ? null : createTable(kind, "Interpolation");
  const [first, last] = originals.map((view) => view?.element ?? create("span"));
  first.classList.add("original");
  last.classList.add("original");
  const strip = create("div", { className: "strip" }, first, ...views.map((view) => view.element), last);
  fill(
    "interpolation",
    create("div", { className: "buttons" }, ...selects.map(({ element }) => element)),
    table === null ? strip : table.element,
    create("p", {
      className: "quiet",
      textContent: "Outputs of the decoder for latents on the straight line between the two posterior means.",
    }),
  );

  const compute = latest(async () => {
    const conditions = model.asConditions(store.state.conditions);
    const ends = store.state.ends.map((end) => {
      const i = Number(end.slice(1));
      return end === "x" ? store.state.x : model.x.subarray(i * kind.size, (i + 1) * kind.size);
    });
    selects.forEach(({ select }, i) => {
      select.value = store.state.ends[i];
    });
    const [a, b] = ends.map((data) => ({ data, shape: model.vae.inputShape }));
    const path = await model.vae.interpolate(a, b, { steps: STEPS, conditions });
    views.forEach((view, i) => view.show(path.data, i * kind.size));
    originals.forEach((view, i) => view?.show(ends[i]));
    table?.show(path.data);
  }, report);
  store.on(["ends", "conditions", "variant"], () => void compute());
  store.on(["x"], () => {
    if (store.state.ends.includes("x")) void compute();
  });
  return compute;
}
