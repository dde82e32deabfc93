/** Each page requests only itself, stores nothing, and passes its check. Arguments: Chromium, pages. */

import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";
import { verdict, withBrowser } from "./browser.mjs";

const [executable, ...files] = process.argv.slice(2);
await withBrowser(executable, async (open) => {
  for (const file of files) {
    const url = pathToFileURL(file).href;
    for (const options of [{}, { viewport: { width: 360, height: 700 }, hasTouch: true, colorScheme: "dark" }]) {
      const { page, log } = await open(url, options);
      await page.waitForTimeout(300);
      assert.deepEqual(await verdict(page), { check: "passed", alerts: [] });
      const requests = new Set(log);
      assert.deepEqual([...requests], [`request ${url}`], "the page made a request or printed a message");
      const stored = await page.evaluate(() => [document.cookie, localStorage.length, sessionStorage.length]);
      assert.deepEqual(stored, ["", 0, 0]);
      const [width, available] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      assert.ok(width <= available, `the page is ${width} pixels wide on a screen of ${available}`);
      assert.deepEqual(await page.evaluate(unlabeled), []);
      assert.equal(await page.locator("img").count(), 0, "a name became an element");
      const first = await page.evaluate(() => document.documentElement.dataset.vaedgeFirstImage);
      console.log(`${file}: first image after ${first} ms`);
      await page.context().close();
    }
  }
});

/** Return the controls without a name for screen readers. This function runs in the page. */
function unlabeled() {
  const controls = document.querySelectorAll("button, input, select, canvas, [tabindex]");
  const isNamed = (element) =>
    element.closest("[aria-hidden=true]") ||
    element.getAttribute("aria-label") ||
    (element.tagName === "BUTTON" && element.textContent.trim()) ||
    [...(element.labels ?? [])].some((label) => label.textContent.trim());
  return [...controls].filter((element) => !isNamed(element)).map((element) => element.outerHTML.slice(0, 100));
}
