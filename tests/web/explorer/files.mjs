/** Images of another size are resized, and other files give a message. Arguments: Chromium, page, files. */

import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";
import { pixels, settle, verdict, withBrowser } from "./browser.mjs";

const [executable, file, exact, larger, text] = process.argv.slice(2);
await withBrowser(executable, async (open) => {
  const { page } = await open(pathToFileURL(file).href);
  const choose = async (name) => {
    await page.locator("#input input[type=file]").setInputFiles(name);
    await settle(page);
    return (await page.locator("#input [role=status]").textContent()) ?? "";
  };
  assert.equal(await choose(exact), "");
  const [found] = await pixels(page, "#input canvas");
  assert.equal(found[0], 200);
  assert.equal(found.at(-1), 10);
  assert.match(await choose(larger), /was resized from 40 × 30 to \d+ × \d+ pixels$/);
  assert.ok((await pixels(page, "#input canvas"))[0].every((value) => Math.abs(value - 90) <= 1));
  assert.match(await choose(text), /is not an image that this browser can read; choose a PNG or JPEG file$/);
  assert.deepEqual(await verdict(page), { check: "passed", alerts: [] });
});
