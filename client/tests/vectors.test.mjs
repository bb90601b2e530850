// The fold and the store over the golden vectors (tests/vectors of the repository).
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { EMPTY, fold, replay, Store } from "../dist/index.js";

const FOLDER = new URL("../../tests/vectors/", import.meta.url);
const NAMES = readdirSync(FOLDER).filter((name) => name.endsWith(".json"));
const framesOf = (name) => JSON.parse(readFileSync(new URL(name, FOLDER), "utf8")).frames;

const isOpen = () => true;

test("there are vectors", () => assert.ok(NAMES.length > 5));

for (const name of NAMES) {
  test(`the fold has the view after each event of ${name}`, () => {
    let state = EMPTY;
    for (const { event, view, again } of framesOf(name)) {
      const before = structuredClone(state);
      const next = fold(state, event);
      assert.deepEqual(state, before, "the fold has changed its argument");
      if (again) assert.equal(next, state);
      state = next;
      assert.deepEqual(state, view, `after ${event.type} ${event.id}`);
    }
  });

  test(`the store has the view after each event of ${name}`, () => {
    const store = new Store();
    for (const { event, view, again } of framesOf(name)) {
      assert.equal(store.take(event) === "again", Boolean(again));
      assert.deepEqual(store.snapshot(), view, `after ${event.type} ${event.id}`);
      assert.deepEqual(store.asks(), view.asks);
      assert.equal(store.cursor, view.cursor);
      for (const { id } of [...view.steps, { id: null }]) {
        assert.deepEqual(store.elements(id), view.elements.filter(({ step_id }) => step_id === id));
        if (id) assert.deepEqual(store.feedback(id), view.feedback.find(({ step_id }) => step_id === id) ?? null);
      }
      const rows = store.rows({ isOpen });
      assert.deepEqual(new Store(view).rows({ isOpen }), rows, "a client that comes now has another order");
      const shown = rows.map(({ id }) => id);
      assert.deepEqual(shown.sort(), [...view.steps.map(({ id }) => id), ...view.runs.map(({ run_id }) => run_id)].sort());
    }
  });

  test(`a replay of ${name} is what its fold is`, () => {
    const frames = framesOf(name);
    assert.deepEqual(replay(EMPTY, frames.map(({ event }) => event)), frames.at(-1).view);
  });
}
