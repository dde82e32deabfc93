/** The section "Latents": the sliders, the pad (an area that sets two latents), and the output of the decoder. */

import { create, fill, format } from "./elements.js";
import { median, timeCall } from "./latency.js";
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
/** The page shows the median time of the last changes, at most this many. */
const CHANGES = 31;
/** Milliseconds between two updates of the shown times. */
const QUIET = 500;

/**
 * Show the section "Latents".
 *
 * @param {Model} model
 * @param {Kind} kind
 * @param {Store} store
 * @param {(error: unknown) => void} report
 * @returns {{decode: () => Promise<void>, measure: () => Promise<void>}} Functions that decode the latents again, and
 *   that measure the times of the variant.
 */
export function showLatents(model, kind, store, report) {
  const view = createView(kind, "Output of the decoder for the latents below");
  const latency = create("p", { className: "quiet" });
  /** @type {number[]} */
  const times = [];
  let changedAt = performance.now();
  let shownAt = 0;
  let call = "";
  const batch = { data: store.state.z, shape: [1, ...model.vae.latentShape] };

  const decode = latest(async () => {
    batch.data = store.state.z;
    const conditions = model.asConditions(store.state.conditions);
    const x = await model.vae.decode(batch, { conditions });
    view.show(x.data);
    const now = performance.now();
    times.push(now - changedAt);
    if (times.length > CHANGES) times.shift();
    if (now - shownAt > QUIET) {
      shownAt = now;
      showTimes();
    }
  }, report);
  function showTimes() {
    const change = times.length > 0 ? `Image ${median(times).toFixed(1)} ms after a change.` : "";
    latency.textContent = call + change;
  }

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
    create("div", { className: "output-and-pad" }, figure, model.latents > 1 ? createPad(model, store) : ""),
    latency,
    createButtons(model, store),
    create("div", { className: "sliders" }, ...sliders.slice(0, FIRST)),
    more,
  );
  store.on(["z", "conditions", "variant"], () => {
    changedAt = performance.now();
    void decode();
  });
  const measure = latest(async () => {
    const { vae } = model;
    const options = { conditions: model.asConditions(store.state.conditions) };
    const example = { data: store.state.x, shape: [1, ...vae.inputShape] };
    const [decoder, encoder] = [() => vae.decode(batch, options), () => vae.encode(example, options)];
    call = `${vae.variant}, one thread: decoder ${(await timeCall(decoder)).toFixed(2)} ms, encoder `;
    call += `${(await timeCall(encoder)).toFixed(2)} ms. `;
    times.length = 0; // the first times included the start of the page
    showTimes();
  }, report);
  store.on(["variant"], () => void measure());
  return { decode, measure };
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
