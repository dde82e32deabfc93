/** Chart of the posterior of one input: mean and standard deviation of each latent. */

import { create, createSvg, format } from "./elements.js";

/** Maximum number of latents in the chart. */
const MAX_LATENTS = 128;
const HEIGHT = 120;
const STEP = 10;

export class PosteriorChart {
  /**
   * @param {number[]} order Latents in the order of the chart.
   */
  constructor(order) {
    this.order = order.slice(0, MAX_LATENTS);
    const width = STEP * this.order.length;
    this.bars = this.order.map(() => createSvg("line", { class: "deviation" }));
    // The dots are lines of length 0 with round ends. Circles would become ellipses, because the chart is stretched.
    this.dots = this.order.map(() => createSvg("line", { class: "mean" }));
    this.titles = this.order.map(() => createSvg("title", {}));
    const groups = this.order.map((_, i) => createSvg("g", {}, this.titles[i], this.bars[i], this.dots[i]));
    const axis = createSvg("line", { x1: 0, x2: width, y1: HEIGHT / 2, y2: HEIGHT / 2, class: "axis" });
    const label = `Posterior of ${this.order.length} latents: means with two standard deviations`;
    this.svg = createSvg(
      "svg",
      { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": label, preserveAspectRatio: "none" },
      axis,
      ...groups,
    );
    this.caption = create("figcaption");
    this.element = create("figure", { className: "posterior" }, this.svg, this.caption);
  }

  /**
   * @param {Float32Array} mean
   * @param {Float32Array} logVar
   */
  show(mean, logVar) {
    let limit = 3;
    for (const latent of this.order) limit = Math.max(limit, Math.abs(mean[latent]) + 2 * Math.exp(logVar[latent] / 2));
    /** @param {number} value */
    const height = (value) => HEIGHT / 2 - ((value / limit) * (HEIGHT - 8)) / 2;
    this.order.forEach((latent, i) => {
      const x = STEP * (i + 0.5);
      const deviation = Math.exp(logVar[latent] / 2);
      setLine(this.bars[i], x, height(mean[latent] - 2 * deviation), height(mean[latent] + 2 * deviation));
      setLine(this.dots[i], x, height(mean[latent]), height(mean[latent]));
      this.titles[i].textContent = `z${latent}: ${mean[latent].toFixed(2)} ± ${deviation.toFixed(2)}`;
    });
    const which =
      this.order.length < mean.length ? `the ${this.order.length} latents with the largest KL` : "all latents";
    this.caption.textContent =
      `Posterior q(z|x): mean ± 2 standard deviations of ${which}, in the order of their KL. ` +
      `The axis ends at ±${format(limit, 2)}.`;
  }
}

/**
 * @param {SVGElement} line
 * @param {number} x
 * @param {number} y1
 * @param {number} y2
 */
function setLine(line, x, y1, y2) {
  for (const [name, value] of Object.entries({ x1: x, x2: x, y1, y2 })) line.setAttribute(name, String(value));
}
