/** The input of an image model: a canvas to draw on, and image files. */

import { create } from "./elements.js";
import { ImageView } from "./views.js";

/** @typedef {import("./views.js").Kind} Kind */

/** Radius of the brush, relative to the smaller side of the image. */
const BRUSH = 0.045;

export class ImageInput {
  /**
   * @param {Kind} kind
   * @param {(x: Float32Array) => void} change Receives a new image.
   * @param {(message: string) => void} note Shows a note or an error to the user.
   * @param {number} background Value of the pixels of an empty canvas.
   */
  constructor(kind, change, note, background) {
    this.kind = kind;
    this.change = change;
    this.note = note;
    this.background = background;
    /** @type {Float32Array} */
    this.x = new Float32Array(kind.size).fill(background);
    this.view = new ImageView(
      kind,
      "Input. Draw with the pointer, or move with the arrow keys and draw with the space key",
    );
    this.canvas = this.view.element;
    this.canvas.classList.add("drawable");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "application");
    this.reconstruction = new ImageView(kind, "Reconstruction");
    this.errors = new ImageView(kind, "Map of the reconstruction error");
    this.errorCaption = create("figcaption", { textContent: "Error" });
    this.cursor = [kind.width / 2, kind.height / 2]; // position of the cursor that the arrow keys move
    this.color = create("input", { type: "color", value: background < middleOf(kind) ? "#ffffff" : "#000000" });
    this.listenToPointer();
    this.canvas.addEventListener("keydown", (event) => this.drawByKey(event));
    this.element = create("div", {}, this.createImages(), this.createButtons());
    this.listenToFiles();
  }

  createImages() {
    /**
     * @param {HTMLElement} image
     * @param {HTMLElement} caption
     */
    const captioned = (image, caption) => create("figure", {}, image, caption);
    return create(
      "div",
      { className: "images" },
      captioned(this.canvas, create("figcaption", { textContent: "Draw here" })),
      captioned(this.reconstruction.element, create("figcaption", { textContent: "Reconstruction" })),
      captioned(this.errors.element, this.errorCaption),
    );
  }

  createButtons() {
    const clear = create("button", { type: "button", textContent: "Clear" });
    clear.addEventListener("click", () => {
      this.x.fill(this.background);
      this.finish();
    });
    const file = create("input", { type: "file", accept: "image/*", className: "hidden-file" });
    file.addEventListener("change", () => {
      if (file.files?.length) void this.readFile(file.files[0]);
      file.value = "";
    });
    const choose = create("label", { className: "button" }, "Choose an image", file);
    const buttons = create("div", { className: "buttons" }, clear, choose);
    if (this.kind.channels === 3) {
      buttons.append(create("label", { className: "color" }, "Brush ", this.color));
    }
    return buttons;
  }

  /**
   * Show an input that was chosen in another part of the page.
   *
   * @param {Float32Array} x
   */
  show(x) {
    this.x.set(x);
    this.view.show(this.x);
  }

  /**
   * @param {Float32Array} reconstruction
   * @param {Float32Array} errors Errors of all elements.
   * @param {ArrayLike<number>} range The two errors that are shown in the first and in the last color.
   * @param {string} caption
   */
  showResult(reconstruction, errors, range, caption) {
    this.reconstruction.show(reconstruction);
    this.errors.showErrors(errors, range);
    this.errorCaption.textContent = caption;
  }

  /**
   * Show the drawing, and pass it to `change`. The drawing is rounded to 8-bit pixels, because links to the page store
   * 8-bit pixels.
   */
  finish() {
    this.x = fromBytes(this.kind, /** @type {Uint8Array} */ (asBytes(this.kind, this.x)));
    this.view.show(this.x);
    this.change(this.x.slice());
  }

  listenToPointer() {
    /** @type {number[] | null} */
    let last = null;
    /** @param {PointerEvent} event */
    const position = (event) => {
      const box = this.canvas.getBoundingClientRect();
      const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
      return [x * this.kind.width, y * this.kind.height];
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      this.canvas.setPointerCapture(event.pointerId);
      last = position(event);
      this.drawLine(last, last);
      this.finish();
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (last === null) return;
      const next = position(event);
      this.drawLine(last, next);
      last = next;
      this.finish();
    });
    for (const name of ["pointerup", "pointercancel"]) {
      this.canvas.addEventListener(name, () => {
        last = null;
      });
    }
  }

  /** @param {KeyboardEvent} event */
  drawByKey(event) {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], " ": [0, 0] };
    const step = /** @type {Record<string, number[]>} */ (steps)[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const { width, height } = this.kind;
    const before = this.cursor;
    this.cursor = [
      Math.min(width - 1, Math.max(0, before[0] + step[0])),
      Math.min(height - 1, Math.max(0, before[1] + step[1])),
    ];
    if (event.key === " " || event.shiftKey) {
      this.drawLine(before, this.cursor);
      this.finish();
      return;
    }
    this.view.show(this.x);
    this.view.context.fillStyle = "#14b8a6"; // the cursor
    this.view.context.fillRect(Math.floor(this.cursor[0]), Math.floor(this.cursor[1]), 1, 1);
  }

  /**
   * Draw a line with soft edges.
   *
   * @param {number[]} from
   * @param {number[]} to
   */
  drawLine(from, to) {
    const { width, height, channels, range } = this.kind;
    const radius = Math.max(0.7, BRUSH * Math.min(width, height));
    const ink = [1, 3, 5].map((start) => Number.parseInt(this.color.value.slice(start, start + 2), 16) / 255);
    const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
    const squared = dx * dx + dy * dy || 1;
    for (let row = 0; row < height; row += 1) {
      for (let column = 0; column < width; column += 1) {
        const [px, py] = [column + 0.5 - from[0], row + 0.5 - from[1]];
        const along = Math.min(1, Math.max(0, (px * dx + py * dy) / squared));
        const distance = Math.hypot(px - along * dx, py - along * dy);
        const weight = Math.min(1, Math.max(0, radius + 0.5 - distance));
        if (weight === 0) continue;
        for (let c = 0; c < channels; c += 1) {
          const i = (c * height + row) * width + column;
          const value = range[0] + ink[c] * (range[1] - range[0]);
          // Overlapping parts of a stroke must not make its edges harder.
          const mixed = this.background + weight * (value - this.background);
          if (channels === 3) this.x[i] += weight * (value - this.x[i]);
          else if (Math.abs(mixed - this.background) > Math.abs(this.x[i] - this.background)) this.x[i] = mixed;
        }
      }
    }
  }

  listenToFiles() {
    // The listeners are on the window. Without them, a browser would open a dropped file instead of the page.
    window.addEventListener("dragover", (event) => event.preventDefault());
    window.addEventListener("drop", (event) => {
      event.preventDefault();
      const file = event.dataTransfer?.files[0];
      if (file !== undefined) void this.readFile(file);
    });
  }

  /** @param {File} file */
  async readFile(file) {
    const { width, height, channels, range } = this.kind;
    let image;
    try {
      image = await createImageBitmap(file);
    } catch {
      this.note(`${file.name} is not an image that this browser can read; choose a PNG or JPEG file`);
      return;
    }
    const canvas = create("canvas", { width, height });
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    const gray = (255 * (this.background - range[0])) / (range[1] - range[0]);
    context.fillStyle = `rgb(${gray}, ${gray}, ${gray})`;
    context.fillRect(0, 0, width, height);
    context.imageSmoothingQuality = "high";
    context.drawImage(image, 0, 0, width, height);
    const resized = image.width !== width || image.height !== height;
    const size = `${image.width} × ${image.height}`;
    image.close();
    const { data } = context.getImageData(0, 0, width, height);
    const count = width * height;
    for (let i = 0; i < count; i += 1) {
      const [r, g, b] = data.subarray(4 * i, 4 * i + 3);
      const values = channels === 3 ? [r, g, b] : [Math.round(0.299 * r + 0.587 * g + 0.114 * b)];
      for (let c = 0; c < channels; c += 1) {
        this.x[c * count + i] = range[0] + (values[c] / 255) * (range[1] - range[0]);
      }
    }
    this.finish();
    this.note(resized ? `${file.name} was resized from ${size} to ${width} × ${height} pixels` : "");
  }
}

/**
 * Return the 8-bit values of an image, or null if the examples are not images.
 *
 * @param {Kind} kind
 * @param {Float32Array} x
 * @returns {Uint8Array | null}
 */
export function asBytes({ isImage, range }, x) {
  if (!isImage) return null;
  return Uint8Array.from(x, (value) =>
    Math.min(255, Math.max(0, Math.round((255 * (value - range[0])) / (range[1] - range[0])))),
  );
}

/**
 * Return the image that has these 8-bit values.
 *
 * @param {Kind} kind
 * @param {Uint8Array} bytes
 * @returns {Float32Array}
 */
export const fromBytes = ({ range }, bytes) =>
  Float32Array.from(bytes, (byte) => range[0] + (byte / 255) * (range[1] - range[0]));

/** @param {Kind} kind */
const middleOf = ({ range }) => (range[0] + range[1]) / 2;
