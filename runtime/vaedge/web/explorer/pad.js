/** The pad: an area of the page in which the user sets two latents at once. The dots show draws from the prior. */

import { create, createSvg } from "./elements.js";

/**
 * @typedef {import("./store.js").Store} Store
 * @typedef {import("./model.js").Model} Model
 */

const SIZE = 200;

/**
 * Create the pad, and two lists in which the user chooses the latents of its axes.
 *
 * @param {Model} model
 * @param {Store} store
 */
export function createPad(model, store) {
  const { limit } = model;
  /** @param {number} value */
  const place = (value) => (SIZE / 2) * (1 + Math.min(1, Math.max(-1, value / limit)));
  const dots = Array.from({ length: model.prior.length / model.latents }, () => createSvg("circle", { r: 1.5 }));
  const marker = createSvg("circle", { r: 6, class: "marker" });
  const lines = [0, 1].map(() => createSvg("line", { class: "axis" }));
  const svg = createSvg("svg", { viewBox: `0 0 ${SIZE} ${SIZE}`, "aria-hidden": "true" }, ...lines, ...dots, marker);
  const pad = create("div", { className: "pad", tabIndex: 0, role: "application" }, svg);
  const selects = ["Horizontal latent", "Vertical latent"].map((label, axis) => {
    const options = model.order.map((latent) => create("option", { value: String(latent), textContent: `z${latent}` }));
    const select = create("select", { "aria-label": label }, ...options);
    select.addEventListener("change", () => store.set({ pad: store.state.pad.with(axis, Number(select.value)) }));
    return select;
  });

  /** @param {number[]} values New values of the two latents. */
  function set(values) {
    const { z, pad: axes } = store.state;
    axes.forEach((latent, axis) => {
      z[latent] = Math.min(limit, Math.max(-limit, values[axis]));
    });
    store.set({ z });
  }

  /** @param {PointerEvent} event */
  function point(event) {
    const box = pad.getBoundingClientRect();
    const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    set([limit * (2 * x - 1), limit * (1 - 2 * y)]);
  }

  pad.addEventListener("pointerdown", (event) => {
    pad.setPointerCapture(event.pointerId);
    point(event);
  });
  pad.addEventListener("pointermove", (event) => {
    if (pad.hasPointerCapture(event.pointerId)) point(event);
  });
  pad.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const step = /** @type {Record<string, number[]>} */ (steps)[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const { z, pad: axes } = store.state;
    set(axes.map((latent, axis) => z[latent] + (step[axis] * limit) / 25));
  });

  function showMarker() {
    const { z, pad: axes } = store.state;
    marker.setAttribute("cx", String(place(z[axes[0]])));
    marker.setAttribute("cy", String(SIZE - place(z[axes[1]])));
  }

  function showAxes() {
    const { pad: axes } = store.state;
    dots.forEach((dot, row) => {
      dot.setAttribute("cx", String(place(model.prior[row * model.latents + axes[0]])));
      dot.setAttribute("cy", String(SIZE - place(model.prior[row * model.latents + axes[1]])));
    });
    [
      [0, SIZE / 2, SIZE, SIZE / 2],
      [SIZE / 2, 0, SIZE / 2, SIZE],
    ].forEach((ends, i) => ["x1", "y1", "x2", "y2"].forEach((name, k) => lines[i].setAttribute(name, String(ends[k]))));
    selects.forEach((select, axis) => {
      select.value = String(axes[axis]);
    });
    pad.setAttribute("aria-label", `Pad for the latents z${axes[0]} and z${axes[1]}; use the arrow keys`);
    showMarker();
  }

  store.on(["z"], showMarker);
  store.on(["pad"], showAxes);
  showAxes();
  const labels = selects.map((select, axis) => create("label", {}, ["→ ", "↑ "][axis], select));
  return create("div", { className: "pad-box" }, pad, create("div", { className: "pad-axes" }, ...labels));
}
