/** Controls of the conditions: buttons for classes, fields for numbers. */

import { create, fill } from "./elements.js";

/**
 * @typedef {import("./store.js").Store} Store
 * @typedef {import("./model.js").Condition} Condition
 */

/** Maximum number of classes for which the control consists of buttons. For more classes, it is a list. */
const MAX_BUTTONS = 24;
/** Maximum number of input fields for one condition. Elements without a field keep the values of the example. */
const MAX_CONTROLS = 32;

/**
 * Show the controls of a conditional model.
 *
 * @param {Condition[]} conditions
 * @param {Store} store
 */
export function showConditions(conditions, store) {
  if (conditions.length === 0) return;
  fill("conditions", ...conditions.map((condition) => showCondition(condition, store)));
}

/**
 * @param {Condition} condition
 * @param {Store} store
 */
function showCondition(condition, store) {
  const { name } = condition;
  const count = store.state.conditions[name].length;
  const controls = Array.from({ length: Math.min(count, MAX_CONTROLS) }, (_, i) => {
    const label = count === 1 ? name : `${name}[${i}]`;
    /** @param {number} value */
    const change = (value) => {
      const values = store.state.conditions[name].with(i, value);
      store.set({ conditions: { ...store.state.conditions, [name]: values } });
    };
    const control = condition.dtype === "float32" ? numberField(label, change) : classControl(label, condition, change);
    const show = () => control.show(store.state.conditions[name][i]);
    store.on(["conditions"], show);
    show();
    const isLabeled = count > 1 && condition.dtype === "float32";
    return isLabeled ? create("label", { className: "element" }, `${label} `, control.element) : control.element;
  });
  const legend = create("legend", {
    textContent: count > MAX_CONTROLS ? `${name}: first ${MAX_CONTROLS} of ${count}` : name,
  });
  return create("fieldset", {}, legend, ...controls);
}

/**
 * @param {string} label
 * @param {(value: number) => void} change
 */
function numberField(label, change) {
  const input = create("input", { type: "number", step: "any", "aria-label": label });
  input.addEventListener("change", () => {
    const value = Math.fround(input.valueAsNumber);
    if (Number.isFinite(value)) change(value);
    else input.reportValidity();
  });
  /** @param {number} value */
  const show = (value) => {
    input.value = String(Number(value.toPrecision(8)));
  };
  return { element: input, show };
}

/**
 * @param {string} label
 * @param {Condition} condition
 * @param {(value: number) => void} change
 */
function classControl(label, { classes }, change) {
  if (classes.length > MAX_BUTTONS) {
    const options = classes.map((text, value) => create("option", { value: String(value), textContent: text }));
    const select = create("select", { "aria-label": label }, ...options);
    select.addEventListener("change", () => change(select.selectedIndex));
    /** @param {number} value */
    const show = (value) => {
      select.selectedIndex = value;
    };
    return { element: select, show };
  }
  const buttons = classes.map((text, value) => {
    const button = create("button", { type: "button", textContent: text, "aria-label": `${label}: ${text}` });
    button.addEventListener("click", () => change(value));
    return button;
  });
  /** @param {number} value */
  const show = (value) => {
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === value)));
  };
  return { element: create("div", { className: "buttons", role: "group", "aria-label": label }, ...buttons), show };
}
