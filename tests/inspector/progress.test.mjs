// How far a step is, in words: whatever has been written. Run: node --test tests/inspector/*.mjs
import assert from "node:assert/strict";
import { test } from "node:test";

const { progressOf, progressWords, usage } = await import("../../gateway/stepwire_gateway/inspector/format.js");

test("progress is told as far as it can be read", () => {
  assert.deepEqual(progressOf({ done: 3, total: 12, text: "files" }), { done: 3, total: 12, text: "files" });
  assert.deepEqual(progressOf({ done: 3 }), { done: 3, total: null, text: "" });
  assert.deepEqual(progressOf({ done: 0, total: 0, text: null }), { done: 0, total: 0, text: "" });
  assert.deepEqual(progressOf({ done: 1, total: -5, text: {} }), { done: 1, total: null, text: "" });
  assert.deepEqual(progressOf({ done: 1, total: NaN }), { done: 1, total: null, text: "" });
  for (const odd of [undefined, null, 5, "half", {}, { done: NaN }, { done: "3" }, { done: -1 }, { done: Infinity }]) {
    assert.equal(progressOf(odd), null);
  }
});

test("more may be done than there is, and there may be nothing to do", () => {
  assert.equal(progressWords(3, 12), "3 of 12 (25%)");
  assert.equal(progressWords(1, 3), "1 of 3 (33%)");
  assert.equal(progressWords(20, 12), "20 of 12 (100%)");
  assert.equal(progressWords(0, 0), "0 of 0");
  assert.equal(progressWords(2.5, null), "2.5");
  assert.match(progressWords(1204, 2000), /^1.204 of 2.000 \(60%\)$/);
});

test("usage is told as far as it can be read", () => {
  assert.equal(usage({ input_tokens: 12, output_tokens: 3, cost: 0.01234 }), "12 in · 3 out · cost 0.0123");
  assert.equal(usage({ input_tokens: 0, output_tokens: null, cost: 0 }), "");
  for (const odd of [undefined, null, 5, "x", { input_tokens: "5", cost: NaN, output_tokens: -1 }]) assert.equal(usage(odd), "");
});
