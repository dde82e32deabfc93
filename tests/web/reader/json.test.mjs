/** JSON is read strictly. */

import assert from "node:assert/strict";
import test from "node:test";
import { BundleError } from "../../../runtime/vaedge/web/errors.js";
import { parseJson } from "../../../runtime/vaedge/web/json.js";

const plain = (value) =>
  JSON.parse(JSON.stringify(value, (_, entry) => (typeof entry === "bigint" ? Number(entry) : entry)));

test("valid JSON is parsed", () => {
  const texts = [
    ...'{}|[]|null|true|false|0|-0|1.5e3|-1e308|""|  1 '.split("|"),
    '[1, 2.5, -1e308, true, null, [], {"a": {"b": [{}]}}]',
    '"\\ud83d\\ude00 \\u0041\\n\\\\\\"/"',
    '{"": 1,"b":[ ] ,\n"1": 2, "\\"": 3}',
  ];
  for (const text of texts) assert.deepEqual(plain(parseJson(text, "f")), JSON.parse(text.replace("-0", "0")), text);
});

test("integers differ from other numbers", () => {
  assert.deepEqual(parseJson("[1, 1.0, 1e0, 9007199254740993, -1]", "f"), [1n, 1, 1, 9007199254740993n, -1n]);
});

test("a field named __proto__ is a field like any other", () => {
  const tree = parseJson('{"__proto__": {"polluted": true}, "constructor": 1}', "f");
  assert.deepEqual(Object.keys(tree), ["__proto__", "constructor"]);
  assert.equal(Object.getPrototypeOf(tree), null);
  assert.equal({}.polluted, undefined);
});

test("nesting is limited", () => {
  assert.ok(parseJson("[".repeat(500) + "]".repeat(500), "f"));
  assert.throws(() => parseJson("[".repeat(502) + "]".repeat(502), "f"), /nested more than 500 levels deep/);
});

test("invalid JSON is refused", () => {
  const refused = {
    "": /Expecting value: line 1 column 1 \(char 0\)$/,
    "[1,\n 2,]": /Expecting value: line 2 column 4 \(char 7\)$/,
    NaN: /NaN is not a JSON number$/,
    "[-Infinity]": /-Infinity is not a JSON number$/,
    "1e999": /1e999 is not a JSON number$/,
    '{"a": 1, "b": 2, "a": 1}': /the field 'a' occurs more than once in the same object$/,
    '{"__proto__": 1, "__proto__": 2}': /the field '__proto__' occurs more than once/,
    '"\\ud800"': /surrogates not allowed/,
    '"\\ude00\\ud83d"': /surrogates not allowed/,
    '"\ud800"': /surrogates not allowed/,
    '{"\\ud800": 1}': /surrogates not allowed/,
    '"a\nb"': /Invalid string/,
    '"\\x41"': /Invalid string/,
    '"abc': /Invalid string/,
    '"abc\\"': /Invalid string/,
    '"abc\\': /Invalid string/,
    "'a'": /Expecting value/,
    "01": /Extra data/,
    "1.": /Extra data/,
    "+1": /Expecting value/,
    ".5": /Expecting value/,
    "[1 2]": /Expecting ',' delimiter/,
    "[1": /Expecting ',' delimiter/,
    '{"a" 1}': /Expecting ':' delimiter/,
    '{"a": 1': /Expecting ',' delimiter/,
    "{a: 1}": /Expecting property name enclosed in double quotes/,
    '{"a": 1,}': /Expecting property name enclosed in double quotes/,
    "\ufeff{}": /Expecting value/,
    "\u00a01": /Expecting value/,
    "1 2": /Extra data/,
    nullx: /Extra data/,
  };
  for (const [text, message] of Object.entries(refused)) {
    assert.throws(
      () => parseJson(text, "file.json"),
      (error) => {
        assert.equal(error.constructor, BundleError, text);
        assert.match(error.message, /^file.json is not valid JSON: /);
        assert.match(error.message, message);
        return true;
      },
    );
  }
});
