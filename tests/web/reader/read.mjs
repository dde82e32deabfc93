/** Print the manifest of a folder and the arrays of its .npz files as JSON: `node read.mjs FOLDER`. */

import { openFiles, readVerified } from "../../../runtime/vaedge/web/files.js";
import { MANIFEST_NAME, readManifest } from "../../../runtime/vaedge/web/manifest.js";
import { readNpz } from "../../../runtime/vaedge/web/npz.js";
import { filesOf } from "./folder.mjs";

const files = openFiles(await filesOf(process.argv[2]));
const manifest = readManifest(await files.read(MANIFEST_NAME), files.where);
const archives = {};
for (const name of Object.keys(manifest.files)) {
  const content = await readVerified(files, manifest, name);
  if (!name.endsWith(".npz")) continue;
  archives[name] = {};
  for (const [array, { data, shape }] of await readNpz(content)) {
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64");
    archives[name][array] = { dtype: data instanceof BigInt64Array ? "int64" : "float32", shape, bytes };
  }
}
console.log(JSON.stringify({ manifest, archives }));
