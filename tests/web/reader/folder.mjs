/** Reads the files of a folder, as a page or an application would give them to `load`. */

import { openAsBlob, readdirSync, statSync } from "node:fs";
import { join } from "node:path";

/**
 * Return the regular files of a folder by name. The content of a file is read only when the Blob is read.
 *
 * @param {string} folder
 */
export async function filesOf(folder) {
  const files = new Map();
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (statSync(path, { throwIfNoEntry: false })?.isFile()) files.set(name, await openAsBlob(path));
  }
  return files;
}
