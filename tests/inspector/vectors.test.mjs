// The inspector's fold over the golden vectors (tests/vectors). Run: node --test tests/inspector/*.mjs
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

const inspector = "../../gateway/stepwire_gateway/inspector";
const { CursorCheck } = await import(`${inspector}/cursor.js`);
const { Session } = await import(`${inspector}/session.js`);
const { ATTACHED_KINDS, KINDS } = await import(`${inspector}/vocabulary.js`);

const folder = new URL("../vectors/", import.meta.url);
const names = readdirSync(folder).filter((name) => name.endsWith(".json"));

/** What the page has, as the lists of a snapshot. */
const viewOf = (session) => {
  const docs = (nodes) => [...nodes.values()].map(({ doc }) => doc);
  const attached = ATTACHED_KINDS.map(({ name, list }) => [list, [...session.attached[name].documents.values()]]);
  return { runs: docs(session.runs), steps: docs(session.steps), ...Object.fromEntries(attached) };
};

/** The lists of a view, as JSON has them. */
const lists = (view) => Object.fromEntries(KINDS.map(({ list }) => [list, structuredClone(view[list])]));

for (const name of names) {
  test(`the page has the view after each event of ${name}`, () => {
    const { frames } = JSON.parse(readFileSync(new URL(name, folder), "utf8"));
    const session = new Session();
    const check = new CursorCheck();
    for (const { event, view, again } of frames) {
      const isNew = check.take(event.id, event.type === "snapshot");
      assert.equal(isNew, !again, event.id);
      if (isNew) session.apply(event.type, event.data);
      assert.deepEqual(lists(viewOf(session)), lists(view), `after ${event.type} ${event.id}`);
      assert.deepEqual(session.used, view.usage);
      assert.equal(check.cursor, view.cursor);
      for (const [id, { attached }] of session.steps) {
        for (const { name, list, parent } of ATTACHED_KINDS) {
          const below = view[list].filter((item) => item[parent] === id);
          assert.deepEqual([...attached[name].values()], below, `${list} of ${id}`);
        }
      }
    }
    assert.equal(session.unread, 0);
    assert.equal(check.gaps, frames.filter(({ again }) => again).length);
  });
}

test("there are vectors", () => assert.ok(names.length > 5));
