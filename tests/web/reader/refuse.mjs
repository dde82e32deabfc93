/** Load each folder of a list, and print what happened: `node refuse.mjs LIST.json`. */

import { readFileSync } from "node:fs";
import { load, VaedgeError } from "../../../runtime/vaedge/web/vaedge.js";
import { filesOf } from "./folder.mjs";

let received = 0;
const ort = {
    InferenceSession: {
        async create() {
            received += 1;
            return {};
        },
    },
};
const outcomes = [];
for (const folder of JSON.parse(readFileSync(process.argv[2], "utf-8"))) {
    received = 0;
    try {
        await load(await filesOf(folder), { ort });
        outcomes.push({ name: "accepted", message: "", received });
    } catch (error) {
        const known = error instanceof VaedgeError;
        outcomes.push({
            name: known ? error.name : `unexpected ${error?.stack}`,
            message: String(error?.message),
            received,
        });
    }
}
console.log(JSON.stringify(outcomes));
