import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { around, finder, following, has, NO_QUERY, seenIn, wordsIn } from "../../src/trace/find.ts";

const step = (given) => ({ name: "", input: "", output: "", error: null, tags: [], id: "s", run_id: null, metadata: {}, type: "tool", show_input: true, ...given });

/** Of a store, what finding asks for. */
const storeOf = (...steps) => ({
  tree: { within: () => steps.map(({ id }) => ({ ref: { kind: "step", id } })) },
  step: (id) => steps.find((one) => one.id === id),
});

describe("what is looked for", () => {
  test("is found in all texts of a step, whatever its case", () => {
    const fits = has("RefunD");
    const places = [
      { name: "a refund" }, { input: "refund it" }, { output: "refunded" }, { tags: ["refunds"] }, { id: "refund-1" }, { run_id: "refund" },
      { error: { type: "RefundFailed", message: "" } }, { error: { type: "E", message: "no refund" } }, { metadata: { of: "refund" } },
    ];
    assert.deepEqual(places.map((given) => fits(step(given))), places.map(() => true));
    assert.equal(fits(step({ name: "fund" })), false);
  });

  test("is found in the order of the tree, among what filters leave", () => {
    const store = storeOf(step({ id: "a", output: "x1" }), step({ id: "b" }), step({ id: "c", name: "X1" }));
    assert.deepEqual(finder({ ...NO_QUERY, words: " x1 " }, null)(store), ["a", "c"]);
    assert.deepEqual(finder({ ...NO_QUERY, words: "x1" }, ({ id }) => id !== "a")(store), ["c"]);
    assert.deepEqual(finder(NO_QUERY, null)(store), []);
  });

  test("is marked where it is, also behind letters that are longer in small, and signs of patterns are themselves", () => {
    assert.deepEqual([...wordsIn("İİ then THE End", "the")], [[3, 6], [8, 11]]);
    assert.deepEqual([...wordsIn("a.b a-b (a.b", "a.b")], [[0, 3], [9, 12]]);
    for (const words of ["(", "[a-z]", "a\\d", "$^", "x{2}", "a/b", "-"]) assert.deepEqual([...wordsIn(`> ${words}`, words)], [[2, 2 + words.length]], words);
    assert.deepEqual([...wordsIn("anything", "")], []);
  });

  test("is said with what stands around it", () => {
    const text = `${"before ".repeat(30)}the needle\n in it${" after".repeat(30)}`;
    assert.match(around(step({ output: text }), "NEEDLE"), /^\S*( before)+ the needle in it( after)+ ?\S*$/);
    assert.ok(around(step({ output: text }), "needle").length < 140);
    assert.equal(around(step({ error: { type: "E", message: "it broke" } }), "broke"), "it broke");
    assert.equal(around(step({ metadata: { a: "deep" } }), "deep"), "");
  });

  test("is seen in the row, in its text once that is open, or in the details", () => {
    const cases = [
      [{ name: "word" }, true, "row"],
      [{ output: "word", type: "assistant_message" }, true, "row"],
      [{ output: "word" }, false, "text"],
      [{ input: "word" }, false, "text"],
      [{ input: "word", show_input: false }, false, "details"],
      // Below its line stand others, not its text.
      [{ output: "word" }, true, "details"],
      [{ metadata: { of: "word" } }, false, "details"],
    ];
    for (const [given, hasChildren, seen] of cases) assert.equal(seenIn(step(given), hasChildren, "WORD"), seen, JSON.stringify(given));
  });

  test("is gone through in both directions, around the ends", () => {
    const list = ["a", "b", "c"];
    const of = (current, by) => following(list, current, by);
    assert.deepEqual([of(null, 1), of(null, -1), of("a", 1), of("c", 1), of("a", -1), of("gone", 1)], ["a", "c", "b", "a", "c", "a"]);
    assert.equal(following([], null, 1), null);
  });
});
