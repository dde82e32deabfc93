/** The explorer page: load the bundle, show it, and check it. */

import { showInput } from "./analysis.js";
import { renderCard } from "./card.js";
import { showConditions } from "./conditions.js";
import { fill, find, format } from "./elements.js";
import { openRuntime, readFiles, readSettings } from "./embedded.js";
import { writeFragment } from "./fragment.js";
import { asBytes } from "./image_input.js";
import { showLatents } from "./latents.js";
import { Model } from "./model.js";
import { initialState, restoreState } from "./restore.js";
import { showInterpolation, showSamples } from "./samples.js";
import { Store } from "./store.js";
import { showVariants } from "./variants.js";
import { describeExamples } from "./views.js";

/** Milliseconds without a change before the address is updated. */
const QUIET = 250;
const page = document.documentElement.dataset;

/** @param {unknown} error */
function report(error) {
  const alert = find("alert");
  alert.textContent = error instanceof Error ? error.message : String(error);
  alert.hidden = false;
}

/** @param {unknown} error */
function fail(error) {
  report(error);
  page.vaedgeCheck = "failed";
  find("check").textContent = "Failed";
}

async function main() {
  const settings = readSettings();
  if (settings.card !== "") fill("card", ...renderCard(settings.card));
  const [files, ort] = await Promise.all([readFiles(), openRuntime()]);
  const wanted = new URLSearchParams(location.hash.slice(1)).get("variant") ?? settings.variants[0];
  const model = await Model.open(files, ort, settings.variants, wanted);
  const { manifest } = model;
  const kind = describeExamples(manifest, model.x);
  showHeader(manifest);

  const store = new Store(initialState(model, kind));
  const restored = restoreOrReport(model, kind);
  store.set(restored);
  showConditions(model.conditions, store);
  const latents = showLatents(model, kind, store, fail);
  const work = [
    latents.decode,
    showSamples(model, kind, store, fail),
    showInput(model, kind, store, fail),
    showInterpolation(model, kind, store, fail),
  ];
  const compare = showVariants(model, kind, store, fail);
  keepFragment(store, model, kind);
  find("main").hidden = false;
  for (const [i, run] of work.entries()) {
    if (i === 2) store.set(restored.z === undefined ? { x: store.state.x } : { x: store.state.x, z: store.state.z });
    await run();
    page.vaedgeFirstImage ??= performance.now().toFixed(0);
  }
  await check(model);
  await latents.measure();
  await compare?.();
}

/** @param {import("../manifest.js").Manifest} manifest */
function showHeader(manifest) {
  document.title = `${manifest.name} — vaedge explorer`;
  find("name").textContent = manifest.name;
  const prior = manifest.prior === "mixture" ? "mixture of Gaussians" : "N(0, I)";
  find("summary").textContent =
    `Input ${manifest.inputShape.join(" × ")} · latents ${manifest.latentShape.join(" × ")} · prior ${prior} · ` +
    `likelihood ${manifest.likelihood}`;
}

/**
 * @param {Model} model
 * @param {import("./views.js").Kind} kind
 */
function restoreOrReport(model, kind) {
  try {
    return restoreState(location.hash, model, kind);
  } catch (error) {
    report(error);
    return {};
  }
}

/**
 * Keep the state of the page in the fragment of the address. Read a fragment that the user enters.
 *
 * @param {Store} store
 * @param {Model} model
 * @param {import("./views.js").Kind} kind
 */
function keepFragment(store, model, kind) {
  let timer = 0;
  store.on(["variant", "x", "z", "seed", "conditions", "pad", "ends"], () => {
    clearTimeout(timer);
    timer = window.setTimeout(() => {
      try {
        history.replaceState(
          null,
          "",
          writeFragment(store.state, (x) => asBytes(kind, x)),
        );
      } catch {
        // Frames without an address cannot keep the state.
      }
    }, QUIET);
  });
  window.addEventListener("hashchange", () => location.reload());
}

/**
 * Compare all variants of the page with their references, and show the verdict.
 *
 * @param {Model} model
 */
async function check(model) {
  const verdicts = [];
  let compared = 0;
  let passed = true;
  for (const name of model.variants) {
    const vae = await model.open(name);
    if (model.manifest.variants[name].reference === null) {
      verdicts.push(`${name}: not compared, because the bundle of format 1 has no reference for it`);
      continue;
    }
    const result = await vae.check();
    const largest = Math.max(...Object.values(result.differences));
    compared += 1;
    verdicts.push(`${name}: the largest difference is ${format(largest, 2)} times the tolerance`);
    passed &&= result.passed;
  }
  const status = find("check");
  if (compared === 0) status.textContent = "Files verified, no reference";
  else status.textContent = passed ? "Check passed" : "Check failed";
  status.title = verdicts.join("; ");
  page.vaedgeCheck ??= passed ? "passed" : "failed";
  if (!passed)
    report(new Error(`This browser does not reproduce the reference: ${verdicts.join("; ")}. Try another browser.`));
}

window.addEventListener("unhandledrejection", (event) => fail(event.reason));
window.addEventListener("error", (event) => fail(event.error ?? event.message));
main().catch(fail);
