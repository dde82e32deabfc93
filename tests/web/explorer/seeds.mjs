/**
 * Samples and bounds are those of Python. Arguments: Chromium, page, JSON file {seed, images, bound}. `images` has the
 * values of the pixels of each sample.
 */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { pixels, settle, withBrowser } from "./browser.mjs";

const [executable, file, expectedFile] = process.argv.slice(2);
const { seed, images, bound } = JSON.parse(readFileSync(expectedFile, "utf8"));
await withBrowser(executable, async (open) => {
  const { page } = await open(pathToFileURL(file).href);
  const shown = (await page.locator("#input dd").first().textContent()).replace("\u2212", "-");
  assert.ok(Math.abs(Number(shown) - bound) < 0.01, `the bound is ${shown}; Python says ${bound}`);
  const field = page.locator("#samples input");
  const samples = () => pixels(page, "#samples canvas");
  const before = await samples();
  await field.fill(seed);
  await field.press("Enter");
  await settle(page);
  const found = await samples();
  assert.notDeepEqual(found, before);
  assert.equal(found.length, images.length);
  const differences = found.flatMap((image, i) => image.map((value, k) => Math.abs(value - images[i][k])));
  assert.ok(Math.max(...differences) <= 1, `a pixel differs from Python by ${Math.max(...differences)} of 255`);

  await page.getByRole("button", { name: "New seed" }).click();
  await settle(page);
  assert.notEqual(await field.inputValue(), seed);
  assert.notDeepEqual(await samples(), found);
  await field.fill(seed);
  await field.press("Enter");
  await settle(page);
  assert.deepEqual(await samples(), found);

  await field.fill("seven");
  await field.press("Enter");
  await settle(page);
  assert.deepEqual(await samples(), found, "an invalid seed must not change the samples");

  await page.locator("#samples button canvas").nth(3).click();
  await settle(page);
  const [output] = await pixels(page, "#latents canvas");
  const largest = Math.max(...output.map((value, i) => Math.abs(value - images[3][i])));
  assert.ok(largest <= 1, "the output is not the chosen sample");
});
