/** The variants side by side: size, loss, latency, and output for the same latents. */

import { create, fill, format } from "./elements.js";
import { timeCall } from "./latency.js";
import { latest } from "./store.js";
import { createView } from "./views.js";

/**
 * @typedef {import("./store.js").Store} Store
 * @typedef {import("./model.js").Model} Model
 * @typedef {import("./views.js").Kind} Kind
 */

/**
 * Show buttons that select a variant, and the section "Variants". A page with one variant shows neither of them.
 *
 * @param {Model} model
 * @param {Kind} kind
 * @param {Store} store
 * @param {(error: unknown) => void} report
 */
export function showVariants(model, kind, store, report) {
  if (model.variants.length < 2) return;
  showButtons(model, store, report);
  const rows = model.variants.map((name) => createRow(model, kind, name));
  const heads = ["Variant", "Output", "Size", "Nats lost", "Decoder, 1 example", "Encoder, 1 example"];
  const head = create("tr", {}, ...heads.map((textContent) => create("th", { scope: "col", textContent })));
  const table = create(
    "table",
    {},
    create("thead", {}, head),
    create("tbody", {}, ...rows.map(({ element }) => element)),
  );
  fill(
    "variants",
    create("div", { className: "scroll" }, table),
    create("p", {
      className: "quiet",
      textContent:
        "Nats lost: decrease of the importance-weighted bound per example from fp32 to this variant, as the exporter " +
        "measured it. Times: medians in this page, with one thread.",
    }),
  );
  const show = latest(async () => {
    const options = { conditions: model.asConditions(store.state.conditions) };
    for (const { name, view } of rows) {
      const vae = await model.open(name);
      const z = { data: store.state.z, shape: [1, ...vae.latentShape] };
      view.show((await vae.decode(z, options)).data);
    }
  }, report);
  store.on(["z", "conditions"], () => void show());
  return async () => {
    await show();
    for (const row of rows) await measure(model, store, row);
  };
}

/**
 * @param {Model} model
 * @param {Kind} kind
 * @param {string} name
 */
function createRow(model, kind, name) {
  const view = createView(kind, `Output of ${name}`);
  const [decoder, encoder] = [create("td", { className: "number" }), create("td", { className: "number" })];
  const entry = model.manifest.variants[name];
  const bytes = model.manifest.files[entry.encoder].bytes + model.manifest.files[entry.decoder].bytes;
  const change = entry.measured.bound_change;
  const lost = name === "fp32" ? 0 : typeof change === "number" ? -change : Number.NaN;
  const element = create(
    "tr",
    {},
    create("th", { scope: "row", textContent: name }),
    create("td", { className: "variant-output" }, view.element),
    create("td", { className: "number", textContent: `${(bytes / 1e6).toFixed(2)} MB` }),
    create("td", { className: "number", textContent: Number.isNaN(lost) ? "not measured" : format(lost, 3) }),
    decoder,
    encoder,
  );
  return { name, element, view, decoder, encoder };
}

/**
 * Measure the times of one variant.
 *
 * @param {Model} model
 * @param {Store} store
 * @param {{name: string, decoder: HTMLElement, encoder: HTMLElement}} row
 */
async function measure(model, store, row) {
  const vae = await model.open(row.name);
  const options = { conditions: model.asConditions(store.state.conditions) };
  const z = { data: store.state.z, shape: [1, ...vae.latentShape] };
  const x = { data: store.state.x, shape: [1, ...vae.inputShape] };
  row.decoder.textContent = `${(await timeCall(() => vae.decode(z, options))).toFixed(2)} ms`;
  row.encoder.textContent = `${(await timeCall(() => vae.encode(x, options))).toFixed(2)} ms`;
}

/**
 * @param {Model} model
 * @param {Store} store
 * @param {(error: unknown) => void} report
 */
function showButtons(model, store, report) {
  const buttons = model.variants.map((name) => {
    const button = create("button", { type: "button", textContent: name });
    button.addEventListener("click", () => {
      model.use(name).then(() => store.set({ variant: name }), report);
    });
    return button;
  });
  const mark = () => {
    buttons.forEach((button) =>
      button.setAttribute("aria-pressed", String(button.textContent === store.state.variant)),
    );
  };
  store.on(["variant"], mark);
  mark();
  const group = create("div", { className: "buttons", role: "group", "aria-label": "Variant" }, ...buttons);
  document.getElementById("variant-buttons")?.append(group);
}
