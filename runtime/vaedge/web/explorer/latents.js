/** Sliders for the latents, the pad, and the output that follows them. */

import { create, fill, format } from "./elements.js";
import { createPad } from "./pad.js";
import { latest } from "./store.js";
import { createView } from "./views.js";

/**
 * @typedef {import("./store.js").Store} Store
 * @typedef {import("./model.js").Model} Model
 * @typedef {import("./views.js").Kind} Kind
 */

/** Number of sliders that are shown at first. */
const FIRST = 8;
/** Maximum number of sliders. */
const MAX_SLIDERS = 512;
/** Number of calls whose median is shown. */
const CALLS = 31;

/**
 * Show the section "Latents".
 *
 * @param {Model} model
 * @param {Kind} kind
 * @param {Store} store
 * @param {(error: unknown) => void} report
 * @returns {() => Promise<void>} Decodes the latents again.
 */
export function showLatents(model, kind, store, report) {
  const view = createView(kind, "Output of the decoder for the latents below");
  const latency = create("p", { className: "quiet latency" });
  /** @type {number[]} */
  const times = [];
  let shownAt = -Infinity;
  const batch = { data: store.state.z, shape: [1, ...model.vae.latentShape] };

  const decode = latest(async () => {
    batch.data = store.state.z;
    const conditions = model.asConditions(store.state.conditions);
    const start = performance.now();
    const x = await model.vae.decode(batch, { conditions });
    const end = performance.now();
    view.show(x.data);
    times.push(end - start);
    if (times.length > CALLS) times.shift();
    if (end - shownAt > 500) {
      shownAt = end;
      latency.textContent = `Decoder: ${median(times).toFixed(2)} ms per call (${model.vae.variant}, one thread)`;
    }
  }, report);

  const sliders = model.order.slice(0, MAX_SLIDERS).map((latent) => createSlider(latent, model, store));
  const rest = sliders.slice(FIRST);
  const more = create(
    "details",
    { hidden: rest.length === 0 },
    create("summary", { textContent: `${rest.length} more latents` }),
    create("div", { className: "sliders" }, ...rest),
  );
  const caption = create("figcaption", { textContent: "Output" });
  const figure = create("figure", {}, view.element, caption);
  fill(
    "latents",
    create("div", { className: "output-and-pad" }, figure, createPad(model, store)),
    latency,
    createButtons(model, store),
    create("div", { className: "sliders" }, ...sliders.slice(0, FIRST)),
    more,
  );
  store.on(["z", "conditions", "variant"], () => void decode());
  return decode;
}

/**
 * @param {number} latent
 * @param {Model} model
 * @param {Store} store
 */
function createSlider(latent, model, store) {
  const { limit } = model;
  const input = create("input", { type: "range", min: String(-limit), max: String(limit), step: "any" });
  const output = create("output", {});
  const name = create("span", { className: "name", textContent: `z${latent}` });
  const kl = format(model.kl[latent], 2);
  const label = create("label", { title: `KL divergence ${kl} nats` }, name, input, output);
  let shown = Number.NaN;
  input.addEventListener("input", () => {
    store.state.z[latent] = input.valueAsNumber;
    store.set({ z: store.state.z });
  });
  function show() {
    const value = store.state.z[latent];
    if (value === shown) return;
    shown = value;
    output.textContent = value.toFixed(2).replace("-", "\u2212");
    if (Math.abs(input.valueAsNumber - value) > 1e-6) input.value = String(value);
  }
  store.on(["z"], show);
  show();
  return label;
}

/**
 * @param {Model} model
 * @param {Store} store
 */
function createButtons(model, store) {
  const encode = create("button", { type: "button", textContent: "Posterior mean of the input" });
  encode.addEventListener("click", () => store.set({ x: store.state.x }));
  const zero = create("button", { type: "button", textContent: "All zero" });
  zero.addEventListener("click", () => store.set({ z: new Float32Array(model.latents) }));
  return create("div", { className: "buttons" }, encode, zero);
}

/** @param {number[]} values */
export const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
