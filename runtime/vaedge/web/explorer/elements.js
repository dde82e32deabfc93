/** Elements of the page. Texts become text nodes, so that markup in the name of a bundle is shown as text. */

/**
 * Create an element.
 *
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, any>} [properties] Properties of the element. If the name is `role` or `for`, or has a hyphen,
 *   an attribute is set instead of a property.
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function create(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role" || name === "for") element.setAttribute(name, value);
    else /** @type {any} */ (element)[name] = value;
  }
  element.append(...children);
  return element;
}

/**
 * Create an element of an SVG image.
 *
 * @param {string} tag
 * @param {Record<string, string | number>} attributes
 * @param {...Node} children
 * @returns {SVGElement}
 */
export function createSvg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return /** @type {SVGElement} */ (element);
}

/**
 * Find an element of the page by its id.
 *
 * @param {string} id
 * @returns {HTMLElement}
 */
export function find(id) {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`the page has no element ${id}`);
  return element;
}

/**
 * Show a section of the page with this content.
 *
 * @param {string} id
 * @param {...Node} children
 */
export function fill(id, ...children) {
  const section = find(id);
  section.hidden = false;
  section.querySelector(".content")?.replaceChildren(...children);
}

/**
 * Format a number with a few digits.
 *
 * @param {number} value
 * @param {number} [digits] Number of significant digits.
 */
export function format(value, digits = 4) {
  if (!Number.isFinite(value)) return String(value);
  const text = value.toPrecision(digits);
  return (text.includes("e") || !text.includes(".") ? text : text.replace(/\.?0+$/, "")).replace("-", "\u2212");
}
