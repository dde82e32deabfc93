/** Ten thousand decodes do not use more memory. Arguments: Chromium, page. */

import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";
import { settle, verdict, withBrowser } from "./browser.mjs";

const CHANGES = 10_000;
const [executable, file] = process.argv.slice(2);
await withBrowser(executable, async (open) => {
  const { page } = await open(pathToFileURL(file).href, { init: recordMemories });
  const session = await page.context().newCDPSession(page);
  const measure = async () => {
    await settle(page);
    await session.send("HeapProfiler.collectGarbage");
    const { usedSize, backingStorageSize = 0 } = await session.send("Runtime.getHeapUsage");
    const wasm = await page.evaluate(() =>
      globalThis.memories.reduce((sum, memory) => sum + memory.buffer.byteLength, 0),
    );
    return { heap: usedSize, buffers: backingStorageSize, wasm };
  };
  await page.evaluate(move, 500);
  const before = await measure();
  assert.ok(before.wasm > 0);
  const times = await page.evaluate(move, CHANGES);
  const after = await measure();
  assert.equal(after.wasm, before.wasm);
  assert.ok(after.heap - before.heap < 2e6, `the heap grew from ${before.heap} to ${after.heap} bytes`);
  assert.ok(after.buffers - before.buffers < 2e6, `buffers grew from ${before.buffers} to ${after.buffers} bytes`);
  assert.deepEqual(await verdict(page), { check: "passed", alerts: [] });
  const sorted = times.sort((a, b) => a - b);
  const at = (share) => sorted[Math.floor(share * (sorted.length - 1))].toFixed(1);
  console.log(`slider to image: median ${at(0.5)} ms, 95th percentile ${at(0.95)} ms, maximum ${at(1)} ms`);
  console.log(JSON.stringify({ before, after }));
});

/** Record every memory of WebAssembly. This function runs in the page before its scripts. */
function recordMemories() {
  globalThis.memories = [];
  WebAssembly.Memory = class extends WebAssembly.Memory {
    constructor(descriptor) {
      super(descriptor);
      globalThis.memories.push(this);
    }
  };
}

/** Move a slider, wait for each image, and return the times. This function runs in the page. */
async function move(count) {
  const slider = document.querySelector("#latents .sliders input");
  const context = CanvasRenderingContext2D.prototype;
  const put = context.putImageData;
  let shown = () => undefined;
  context.putImageData = function (...args) {
    put.apply(this, args);
    shown();
  };
  const times = [];
  for (let i = 0; i < count; i += 1) {
    const image = new Promise((resolve) => {
      shown = resolve;
    });
    slider.value = String(2 * Math.sin(i / 50));
    const start = performance.now();
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    await image;
    times.push(performance.now() - start);
  }
  context.putImageData = put;
  return times;
}
