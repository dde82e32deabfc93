/** Shows the model card, which is Markdown. Only a small part of Markdown is supported, without links and images. */

import { create } from "./elements.js";

/**
 * Create the elements of a card.
 *
 * @param {string} markdown
 * @returns {HTMLElement[]}
 */
export function renderCard(markdown) {
  const lines = markdown.split(/\r?\n/);
  const elements = [];
  while (lines.length > 0) {
    const line = lines[0];
    const heading = /^(#{1,6}) +(.*)/.exec(line);
    if (line.startsWith("```")) elements.push(readCode(lines));
    else if (line.startsWith("|")) elements.push(readTable(lines));
    else if (heading !== null) {
      elements.push(create("h3", {}, ...inline(heading[2])));
      lines.shift();
    } else if (/^[-*] /.test(line)) elements.push(readList(lines));
    else if (line.trim() === "" || /^!\[.*\]\(.*\)$/.test(line.trim())) lines.shift();
    else elements.push(readParagraph(lines));
  }
  return elements;
}

/** @param {string[]} lines */
function readCode(lines) {
  lines.shift();
  const end = lines.findIndex((line) => line.startsWith("```"));
  const code = lines.splice(0, end < 0 ? lines.length : end);
  lines.shift();
  return create("pre", { textContent: code.join("\n") });
}

/** @param {string[]} lines */
function readTable(lines) {
  /** @type {HTMLElement[]} */
  const rows = [];
  while (lines.length > 0 && lines[0].startsWith("|")) {
    const line = /** @type {string} */ (lines.shift());
    if (/^[|\s:-]+$/.test(line) && line.includes("-")) continue;
    const cells = line.replace(/^\||\|\s*$/g, "").split(/(?<!\\)\|/);
    /** @type {"th" | "td"} */
    const tag = rows.length === 0 ? "th" : "td";
    rows.push(create("tr", {}, ...cells.map((cell) => create(tag, {}, ...inline(cell.trim().replaceAll("\\|", "|"))))));
  }
  return create("div", { className: "scroll" }, create("table", {}, ...rows));
}

/** @param {string[]} lines */
function readList(lines) {
  const entries = [];
  while (lines.length > 0 && /^([-*] |\s+\S)/.test(lines[0])) {
    const line = /** @type {string} */ (lines.shift());
    if (/^[-*] /.test(line)) entries.push(line.slice(2));
    else entries[entries.length - 1] += ` ${line.trim()}`;
  }
  return create("ul", {}, ...entries.map((entry) => create("li", {}, ...inline(entry))));
}

/** @param {string[]} lines */
function readParagraph(lines) {
  const text = [];
  do text.push(lines.shift());
  while (lines.length > 0 && lines[0].trim() !== "" && !/^(```|\||#|[-*] |!\[)/.test(lines[0]));
  return create("p", {}, ...inline(text.join(" ")));
}

/**
 * Create nodes for code, bold text, and the text of links.
 *
 * @param {string} text
 * @returns {(Node | string)[]}
 */
function inline(text) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*|\[[^\]]+\]\([^)]+\))/).map((part) => {
    if (/^`.+`$/.test(part)) return create("code", { textContent: part.slice(1, -1) });
    if (/^\*\*.+\*\*$/.test(part)) return create("strong", { textContent: part.slice(2, -2) });
    return part.replace(/^\[([^\]]+)\]\([^)]+\)$/, "$1");
  });
}
