/** Open pages in headless Chromium for the tests of the explorer. */

import { chromium } from "../../../runtime/vaedge/web/node_modules/playwright-core/index.mjs";

/**
 * Start Chromium, run a test, and close Chromium.
 *
 * @param {string} executablePath
 * @param {(open: (url: string, options?: object) => Promise<{page: any, log: string[]}>) => Promise<void>} test
 *   Receives a function that opens a page and waits for the verdict of its check. `log` has the requests, the messages
 *   on the console, the errors, and the dialogs of the page.
 */
export async function withBrowser(executablePath, test) {
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  try {
    await test(async (url, { init, ...options } = {}) => {
      const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
      const page = await context.newPage();
      if (init !== undefined) await page.addInitScript(init);
      /** @type {string[]} */
      const log = [];
      page.on("request", (request) => log.push(`request ${request.url()}`));
      page.on("console", (message) => log.push(`console ${message.text()}`));
      page.on("pageerror", (error) => log.push(`error ${error.message}`));
      page.on("dialog", (dialog) => log.push(`dialog ${dialog.message()}`));
      await page.goto(url);
      await page.waitForFunction(() => document.documentElement.dataset.vaedgeCheck, null, { timeout: 120_000 });
      return { page, log };
    });
  } finally {
    await browser.close();
  }
}

/** Return the verdict of the check, and the texts of the visible alerts. */
export const verdict = (page) =>
  page.evaluate(() => {
    const alerts = [...document.querySelectorAll('[role="alert"]')].filter((alert) => !alert.hidden);
    return {
      check: document.documentElement.dataset.vaedgeCheck,
      alerts: alerts.map((alert) => alert.textContent),
    };
  });

/** Return the red values of all canvases that match a selector. */
export const pixels = (page, selector) =>
  page.evaluate(
    (text) =>
      [...document.querySelectorAll(text)].map((canvas) => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return Array.from(data).filter((_value, i) => i % 4 === 0);
      }),
    selector,
  );

/** Wait until the page has finished its work and has written the state to the address. */
export const settle = (page) => page.waitForTimeout(600);
