/** A damaged page shows one message. Arguments: Chromium, JSON file [[file, fragment, message], ...]. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { verdict, withBrowser } from "./browser.mjs";

const [executable, cases] = process.argv.slice(2);
await withBrowser(executable, async (open) => {
  for (const [file, fragment, message] of JSON.parse(readFileSync(cases, "utf8"))) {
    const { page, log } = await open(pathToFileURL(file).href + fragment);
    const { check, alerts } = await verdict(page);
    assert.equal(check, "failed", file);
    assert.equal(alerts.length, 1, file);
    assert.match(alerts[0], new RegExp(message), file);
    assert.doesNotMatch(alerts[0], /\n|undefined|TypeError/);
    assert.deepEqual(
      log.filter((line) => !line.startsWith("request file:")),
      [],
      file,
    );
    await page.context().close();
  }
});
