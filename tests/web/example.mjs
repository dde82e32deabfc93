/** Open examples/web in Chromium, enter seeds, and print the pixels: `node example.mjs CHROMIUM SEED...`. */

import { createReadStream, existsSync } from "node:fs";
import { createServer } from "node:http";
import { join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

import { chromium } from "../../runtime/vaedge/web/node_modules/playwright-core/index.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const web = join(root, "runtime/vaedge/web");
const folders = {
  "/node_modules/vaedge/": web,
  "/node_modules/onnxruntime-web/": join(web, "node_modules/onnxruntime-web"),
  "/models/": join(root, "models"),
  "/": join(root, "examples/web"),
};
const types = { html: "text/html", js: "text/javascript", mjs: "text/javascript", wasm: "application/wasm" };

const server = createServer((request, response) => {
  const path = normalize(request.url === "/" ? "/index.html" : request.url);
  const prefix = Object.keys(folders).find((name) => path.startsWith(name));
  const file = join(folders[prefix], path.slice(prefix.length));
  const type = types[file.split(".").pop()] ?? "application/octet-stream";
  if (!existsSync(file)) return response.writeHead(404).end();
  response.writeHead(200, { "content-type": type });
  return createReadStream(file).pipe(response);
});
await new Promise((done) => server.listen(0, "127.0.0.1", done));

const [executablePath, ...seeds] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const page = await browser.newPage();
const errors = [];
page.on("pageerror", (error) => errors.push(error.message));
await page.goto(`http://127.0.0.1:${server.address().port}/`);
const pixels = () => [...document.querySelector("#image").getContext("2d").getImageData(0, 0, 28, 28).data];
const changed = (before) => {
  const canvas = document.querySelector("#image");
  return String(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data) !== before;
};
await page.waitForFunction(changed, String(new Uint8Array(28 * 28 * 4))); // the sample of the first seed is shown
const results = [];
for (const seed of seeds) {
  const before = String(await page.evaluate(pixels));
  await page.fill("#seed", seed);
  await page.waitForFunction(changed, before);
  results.push((await page.evaluate(pixels)).filter((_, index) => index % 4 === 3));
}
await browser.close();
server.close();
if (errors.length) throw new Error(errors.join("\n"));
process.stdout.write(JSON.stringify(results));
