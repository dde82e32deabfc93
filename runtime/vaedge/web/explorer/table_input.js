/** The input of a table model: a slider and a field for each column. */

import { create, format } from "./elements.js";

/** @typedef {import("./views.js").Kind} Kind */

export class TableInput {
  /**
   * @param {Kind} kind
   * @param {(x: Float32Array) => void} change Receives new values.
   */
  constructor(kind, change) {
    this.kind = kind;
    this.change = change;
    this.x = new Float32Array(kind.size);
    this.rows = kind.names.map((name, i) => this.createRow(name, i));
    this.errorHead = create("th", { scope: "col", className: "number" });
    const heads = ["Column", "", "Input", "Reconstruction"].map((textContent, i) =>
      create("th", { scope: "col", className: i === 3 ? "number" : "", textContent }),
    );
    const table = create(
      "table",
      { className: "table-input", "aria-label": "Input and reconstruction" },
      create("thead", {}, create("tr", {}, ...heads, this.errorHead)),
      create("tbody", {}, ...this.rows.map(({ element }) => element)),
    );
    this.element = create("div", { className: "scroll" }, table);
  }

  /**
   * @param {string} name
   * @param {number} i
   */
  createRow(name, i) {
    const [min, max] = this.kind.ranges[i];
    const slider = create("input", {
      type: "range",
      min: String(min),
      max: String(max),
      step: "any",
      "aria-label": name,
    });
    const field = create("input", { type: "number", step: "any", "aria-label": `${name}, exact value` });
    /** @param {number} value */
    const set = (value) => {
      if (!Number.isFinite(Math.fround(value))) return;
      this.x[i] = value;
      this.change(this.x.slice());
    };
    slider.addEventListener("input", () => set(slider.valueAsNumber));
    field.addEventListener("change", () => set(field.valueAsNumber));
    const reconstruction = create("td", { className: "number", "data-label": "reconstruction " });
    const error = create("td", { className: "number", "data-label": "error " });
    const element = create(
      "tr",
      {},
      create("th", { scope: "row", textContent: name }),
      create("td", { className: "slider-cell" }, slider),
      create("td", {}, field),
      reconstruction,
      error,
    );
    return { element, slider, field, reconstruction, error };
  }

  /**
   * Show an input that was chosen in another part of the page.
   *
   * @param {Float32Array} x
   */
  show(x) {
    this.x.set(x);
    this.rows.forEach(({ slider, field }, i) => {
      if (document.activeElement !== slider) slider.value = String(x[i]);
      if (document.activeElement !== field) field.value = String(Number(x[i].toPrecision(6)));
    });
  }

  /**
   * @param {Float32Array} reconstruction
   * @param {Float32Array} errors
   * @param {ArrayLike<number>} _range
   * @param {string} caption
   */
  showResult(reconstruction, errors, _range, caption) {
    this.errorHead.textContent = caption === "Distortion" ? caption : "Error";
    this.rows.forEach((row, i) => {
      row.error.setAttribute("data-label", `${this.errorHead.textContent?.toLowerCase()} `);
      row.reconstruction.textContent = format(reconstruction[i]);
      row.error.textContent = format(errors[i], 3);
    });
  }
}
