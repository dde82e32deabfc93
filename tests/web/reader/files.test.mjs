/** Files are read from memory or from a server. A file that differs from the manifest is an error. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import test from "node:test";
import { BundleError, BundleNotFoundError, InputError } from "../../../runtime/vaedge/web/errors.js";
import { openFiles, readVerified, sha256 } from "../../../runtime/vaedge/web/files.js";
import { sha256OfBytes } from "../../../runtime/vaedge/web/sha256.js";

const CONTENT = new TextEncoder().encode("content");
const DIGEST = createHash("sha256").update(CONTENT).digest("hex");
const MANIFEST = { files: { file: { sha256: DIGEST, bytes: CONTENT.length } } };

/**
 * Return a function that requires an error of this class whose message matches a pattern.
 *
 * @param {Function} type
 * @param {RegExp} words
 */
const withError = (type, words) => (error) => {
  assert.equal(error.constructor, type, error);
  assert.match(error.message, words);
  return true;
};

test("contents in memory may have several types", async () => {
  const embedded = new Uint8Array([0, ...CONTENT, 0]).subarray(1, -1);
  for (const content of [CONTENT, CONTENT.buffer, new Blob([CONTENT]), embedded]) {
    for (const source of [{ file: content }, new Map([["file", content]])]) {
      const files = openFiles(source);
      assert.equal(files.where, "bundle");
      assert.deepEqual(await files.read("file"), CONTENT);
      assert.deepEqual(await files.read("file", CONTENT.length), CONTENT);
      assert.deepEqual(await readVerified(files, MANIFEST, "file"), CONTENT);
      await assert.rejects(
        files.read("file", CONTENT.length - 1),
        withError(BundleError, /^bundle\/file is larger than 6 bytes: the exporter did not write this file$/),
      );
    }
  }
});

test("a name without content is a missing file, even if objects have a method with this name", async () => {
  for (const name of ["other", "constructor", "toString", "__proto__"]) {
    await assert.rejects(
      openFiles({ file: CONTENT }).read(name),
      withError(BundleNotFoundError, /^bundle\/.* is missing: copy the whole bundle again$/),
    );
  }
  await assert.rejects(
    openFiles({}).read("manifest.json"),
    withError(BundleNotFoundError, /^bundle\/manifest.json is missing: expected a folder that `vaedge export` wrote$/),
  );
});

test("other sources are refused", async () => {
  for (const source of [null, undefined, 1, ["file"], () => 1]) {
    assert.throws(() => openFiles(source), withError(InputError, /^the bundle is .*; expected the URL of a folder/));
  }
  assert.throws(() => openFiles("models/mnist"), withError(InputError, /^'models\/mnist' is not a URL/));
  for (const content of ["content", 1, null, [1], {}, new Float32Array(2)]) {
    await assert.rejects(
      openFiles({ file: content }).read("file"),
      withError(InputError, /^bundle\/file is .*; expected a Uint8Array, an ArrayBuffer or a Blob$/),
    );
  }
});

test("files that differ from the manifest are refused", async () => {
  const refuses = (content, words) =>
    assert.rejects(readVerified(openFiles({ file: content }), MANIFEST, "file"), withError(BundleError, words));
  await refuses(CONTENT.slice(1), /^bundle\/file has 6 bytes, and the manifest says 7: the file was cut short/);
  await refuses(new Uint8Array([...CONTENT, 0]), /^bundle\/file is larger than 7 bytes/);
  await refuses(CONTENT.with(0, 0), /^bundle\/file is not the file that was exported \(its SHA-256 differs/);
});

test("a blob that cannot be read is refused", async () => {
  const blob = new Blob([CONTENT]);
  blob.stream = () =>
    new ReadableStream({ start: (controller) => controller.error(new Error("the disk was removed")) });
  await assert.rejects(
    openFiles({ file: blob }).read("file"),
    withError(BundleError, /^bundle\/file cannot be read: the disk was removed$/),
  );
});

test("files of a server are read up to the limit", async (context) => {
  /** @type {string[]} */
  const requests = [];
  const server = createServer((request, response) => {
    requests.push(request.url);
    const name = request.url.split("?")[0].split("/").at(-1);
    if (name === "missing") response.writeHead(404).end("not here");
    else if (name === "broken") response.writeHead(500).end();
    else if (name === "cut") response.writeHead(200, { "content-length": 100 }).write("x", () => response.destroy());
    else if (name === "endless")
      response.write("x".repeat(1000)); // the response never ends
    else response.end(CONTENT);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const root = `http://127.0.0.1:${server.address().port}`;
  for (const folder of [`${root}/models/a`, `${root}/models/a/`, new URL(`${root}/models/a#part`)]) {
    const files = openFiles(folder);
    assert.equal(files.where, `${root}/models/a`);
    assert.deepEqual(await readVerified(files, MANIFEST, "file"), CONTENT);
    assert.equal(requests.at(-1), "/models/a/file");
  }
  const files = openFiles(`${root}/a/?token=secret`);
  assert.equal(files.where, `${root}/a`);
  assert.deepEqual(await files.read("file"), CONTENT);
  assert.equal(requests.at(-1), "/a/file?token=secret");
  const refuses = (name, type, words) => assert.rejects(files.read(name, 7), withError(type, words));
  await refuses("missing", BundleNotFoundError, /\/a\/missing is missing: copy the whole bundle again$/);
  await refuses("broken", BundleError, /\/a\/broken cannot be read: the server answers 500$/);
  await refuses("cut", BundleError, /\/a\/cut cannot be read: /);
  await refuses("endless", BundleError, /\/a\/endless is larger than 7 bytes/);
  await assert.rejects(openFiles("http://127.0.0.1:1/").read("file"), withError(BundleError, /cannot be read: /));
});

test("SHA-256 agrees with Node, with and without crypto.subtle", async () => {
  const bytes = Uint8Array.from({ length: 1000 }, (_, index) => (index * index) % 251);
  for (const length of [...Array(130).keys(), 1000]) {
    const part = bytes.subarray(7, 7 + length);
    const expected = createHash("sha256").update(part).digest("hex");
    assert.equal(await sha256(part), expected);
    assert.equal(Buffer.from(sha256OfBytes(part)).toString("hex"), expected);
  }
});
