/** Load each folder of a list, and print the outcomes: `node refuse.mjs LIST.json`. */

import { readFileSync } from "node:fs";
import { filesOf } from "./folder.mjs";
import { outcomesOf } from "./outcomes.mjs";

const folders = JSON.parse(readFileSync(process.argv[2], "utf-8"));
const sources = [];
for (const folder of folders) sources.push(await filesOf(folder));
console.log(JSON.stringify(await outcomesOf(sources)));
