/** The address restores what the page shows. Arguments: Chromium, kind of the bundle, page. */

import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";
import { pixels, settle, verdict, withBrowser } from "./browser.mjs";

const [executable, kind, file] = process.argv.slice(2);
await withBrowser(executable, async (open) => {
  const { page } = await open(pathToFileURL(file).href);
  const start = await shown(page);
  if (kind === "table") {
    await page.locator("#input input[type=number]").first().fill("0.25");
    await page.locator("#input input[type=number]").first().press("Tab");
  } else {
    await page.getByRole("button", { name: "Clear" }).click();
    await draw(page, [0.3, 0.2], [0.7, 0.8]);
  }
  await page.locator("#conditions button").last().click();
  await settle(page);
  const slider = page.locator("#latents .sliders input").nth(1);
  await slider.focus();
  for (let i = 0; i < 5; i += 1) await slider.press("ArrowRight");
  await page.getByLabel("Vertical latent").selectOption({ index: 0 });
  await page.locator("#latents .pad").focus();
  await page.keyboard.press("ArrowUp");
  await page.locator("#interpolation select").last().selectOption("x");
  await page.locator("#samples input").fill("123456789012345678901234567890");
  await page.locator("#samples input").press("Enter");
  if (kind === "color") await page.locator("#variant-buttons button").last().click();
  await settle(page);
  const expected = await shown(page);
  assert.notDeepEqual(expected.latents, start.latents);
  assert.notDeepEqual(expected.input, start.input);

  const second = await open(page.url());
  await settle(second.page);
  const found = await shown(second.page);
  for (const name of Object.keys(expected)) assert.deepEqual(found[name], expected[name], name);
  assert.deepEqual(await verdict(second.page), { check: "passed", alerts: [] });

  for (const [change, message] of [
    ["z=AAAA", /^The link has an invalid value of z; expected/],
    ["z=%25", /^The link has a damaged value of z;/],
    ["x=r99", /^The link has an invalid value of x; expected/],
    ["seed=-1", /^The link has an invalid value of seed; expected a non-negative integer/],
    ["condition.y=77", /^The link has an invalid value of condition/],
    ["pad=0_999", /^The link has an invalid value of pad; expected two latents/],
    ["ends=x_%3Cb%3E", /^The link has an invalid value of ends; expected/],
  ]) {
    const { page: other } = await open(`${pathToFileURL(file).href}#${change}`);
    const { check, alerts } = await verdict(other);
    assert.equal(check, "passed");
    assert.equal(alerts.length, 1);
    assert.match(alerts[0], message);
    await other.context().close();
  }
});

/** Return everything that the page shows. */
async function shown(page) {
  const text = (selector) => page.locator(selector).evaluateAll((found) => found.map((element) => element.textContent));
  const values = (selector) => page.locator(selector).evaluateAll((found) => found.map((element) => element.value));
  return {
    canvases: await pixels(page, "canvas"),
    tables: await text("#input td, #samples td, #interpolation td, #latents td"),
    input: [await pixels(page, "#input canvas"), await values("#input input[type=number]")],
    numbers: await text("#input dd"),
    latents: await text("#latents output"),
    choices: await values("select"),
    pressed: await text("#variant-buttons [aria-pressed=true], #conditions [aria-pressed=true]"),
    seed: await values("#samples input"),
    marker: await page.locator(".marker").evaluate((marker) => [marker.getAttribute("cx"), marker.getAttribute("cy")]),
  };
}

/** Draw a line on the input. The positions are relative to its size. */
async function draw(page, from, to) {
  const box = await page.locator("#input canvas").first().boundingBox();
  await page.mouse.move(box.x + from[0] * box.width, box.y + from[1] * box.height);
  await page.mouse.down();
  await page.mouse.move(box.x + to[0] * box.width, box.y + to[1] * box.height, { steps: 6 });
  await page.mouse.up();
}
