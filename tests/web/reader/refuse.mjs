/** Load each folder of a list, and print the outcomes and the needed memory in MiB: `node refuse.mjs LIST.json`. */

import { readFileSync } from "node:fs";
import { filesOf } from "./folder.mjs";
import { outcomesOf } from "./outcomes.mjs";

const peak = () => process.resourceUsage().maxRSS / 1024;

const folders = JSON.parse(readFileSync(process.argv[2], "utf-8"));
const sources = [];
for (const folder of folders) sources.push(await filesOf(folder));
const idle = peak();
const outcomes = await outcomesOf(sources);
console.log(JSON.stringify({ outcomes, megabytes: peak() - idle }));
