/**
 * Load each folder of a list in Chromium, and print the outcomes: `node refuse_in_browser.mjs CHROMIUM LIST.json`.
 *
 * The page comes from a host by plain http, where browsers offer no crypto.subtle.
 */

import { createReadStream, readFileSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "../../../runtime/vaedge/web/node_modules/playwright-core/index.mjs";

const [executablePath, list] = process.argv.slice(2);
const root = fileURLToPath(new URL("../../..", import.meta.url));
const folders = JSON.parse(readFileSync(list, "utf-8"));

/** Return the file at a path: "/" is an empty page, "/code/..." the repository, and "/N/..." the folder N. */
function fileAt(path) {
  const [first, ...rest] = path.slice(1).split("/");
  return first === "code" ? join(root, ...rest) : join(folders[Number(first)], ...rest);
}

const server = createServer((request, response) => {
  if (request.url === "/") return response.setHeader("content-type", "text/html").end();
  const file = fileAt(request.url);
  if (!statSync(file, { throwIfNoEntry: false })?.isFile()) return response.writeHead(404).end();
  response.setHeader("content-type", /\.m?js$/.test(file) ? "text/javascript" : "application/octet-stream");
  return createReadStream(file).pipe(response);
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const browser = await chromium.launch({
  executablePath,
  args: ["--no-sandbox", "--host-resolver-rules=MAP example.test 127.0.0.1"],
});
try {
  const page = await browser.newPage();
  await page.goto(`http://example.test:${server.address().port}/`);
  const found = await page.evaluate(
    async (sources) => {
      const { outcomesOf } = await import("/code/tests/web/reader/outcomes.mjs");
      return { hasSubtle: "subtle" in crypto, outcomes: await outcomesOf(sources) };
    },
    [...folders.keys()].map(String),
  );
  console.log(JSON.stringify(found));
} finally {
  await browser.close();
  server.closeAllConnections();
  server.close();
}
