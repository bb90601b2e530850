import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Heights } from "../../src/trace/heights.ts";
import { ListWindow } from "../../src/trace/list-window.ts";

/** Whole numbers from 0 to below `most`, the same ones each time. */
function drawing(seed) {
  let state = seed;
  return (most) => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return Math.floor((state / 2147483648) * most);
  };
}

describe("heights", () => {
  test("are where a walk over the list finds them, after any changes", () => {
    const draw = drawing(7);
    const heights = new Heights();
    const plain = [];
    for (let turn = 0; turn < 600; turn += 1) {
      const at = draw(plain.length + 1);
      if (draw(3) === 0 && at < plain.length) {
        plain[at] = 1 + draw(500);
        heights.set(at, plain[at]);
      } else {
        const removed = draw(Math.min(9, plain.length - at + 1));
        const added = Array.from({ length: draw(12) }, () => 1 + draw(100));
        plain.splice(at, removed, ...added);
        heights.splice(at, removed, added);
      }
      assert.equal(heights.length, plain.length);
      const starts = plain.reduce((all, px) => [...all, all.at(-1) + px], [0]);
      assert.equal(heights.total, starts.at(-1));
      if (plain.length === 0) continue;
      const row = draw(plain.length);
      assert.equal(heights.before(row), starts[row]);
      assert.deepEqual([starts[row], starts[row + 1] - 1].map((px) => heights.at(px)), [row, row]);
      assert.deepEqual([-5, starts.at(-1) + 5].map((px) => heights.at(px)), [0, plain.length - 1]);
    }
  });

  test("of no rows begin and end at the top", () => {
    assert.deepEqual([new Heights().total, new Heights().at(100)], [0, 0]);
  });
});

const LINE = 30;
const rows = (...keys) => keys.map((key) => ({ key }));
const numbered = (count) => Array.from({ length: count }, (_, at) => ({ key: `row ${at}` }));

/** A window of ten lines, scrolled as a page does that: to what the window says, and to what the reader wants. */
function windowOf(list, scrollTop) {
  const shown = new ListWindow(() => LINE);
  const page = {
    shown,
    scrollTop: 0,
    told: 0,
    sync() {
      if (!shown.isMoved) return;
      shown.isMoved = false;
      page.scroll(Math.max(0, Math.min(shown.scrollTop, shown.total - shown.height)));
    },
    scroll(px) {
      page.scrollTop = Math.round(px);
      shown.scrolled(page.scrollTop);
    },
    take(next) {
      shown.take(next);
      page.sync();
    },
    /** Where a row is seen, below the upper edge. */
    seen: (key) => shown.startOf(shown.indexOf(key)) - page.scrollTop,
  };
  shown.subscribe(() => (page.told += 1));
  page.take(list);
  shown.resized(10 * LINE);
  page.sync();
  if (scrollTop !== undefined) page.scroll(scrollTop);
  return page;
}

describe("the window of a list", () => {
  test("has the rows that are seen and a few beside them, however long the list is", () => {
    const page = windowOf(numbered(100_000), 50_000 * LINE);
    const { first, last } = page.shown.range;
    assert.equal(page.shown.topmost.key, "row 50000");
    assert.deepEqual([first, last], [50_000 - 12, 50_010 + 12]);
    assert.equal(page.shown.total, 100_000 * LINE);
  });

  test("tells nobody while the same rows are seen", () => {
    const page = windowOf(numbered(100), 15);
    const before = page.told;
    page.scroll(20);
    page.scroll(29);
    assert.equal(page.told, before);
    page.shown.measure([["row 2", LINE]]);
    assert.equal(page.told, before);
    page.scroll(31);
    assert.equal(page.told, before + 1);
  });

  test("stays at the end of the list until the reader moves up, and again when they are back", () => {
    const page = windowOf(numbered(50));
    assert.equal(page.scrollTop, 40 * LINE);
    page.take(numbered(60));
    assert.equal(page.scrollTop, 50 * LINE);
    const before = page.told;
    page.scroll(50 * LINE - 3);
    assert.equal(page.shown.isAtEnd, false);
    assert.equal(page.told, before + 1, "the way back is shown");
    page.take(numbered(70));
    assert.equal(page.scrollTop, 50 * LINE - 3);
    page.scroll(60 * LINE - 30);
    page.take(numbered(80));
    assert.equal(page.scrollTop, 70 * LINE);
  });

  test("follows a last row that grows", () => {
    const page = windowOf(numbered(50));
    page.shown.measure([["row 49", 400]]);
    page.sync();
    assert.equal(page.scrollTop, 40 * LINE + 370);
  });

  test("leaves what is read where it is, whatever comes, goes or grows above it or below", () => {
    const draw = drawing(3);
    let list = numbered(200);
    const page = windowOf(list, 100 * LINE + 7);
    let fresh = 0;
    for (let turn = 0; turn < 300; turn += 1) {
      const read = page.shown.topmost.key;
      const at = page.shown.indexOf(read);
      const before = page.seen(read);
      const place = draw(list.length);
      if (turn % 3 === 0) page.shown.measure([[list[place].key, 20 + draw(90) + 0.3]]);
      else {
        const removed = place > at ? draw(4) : Math.min(draw(4), Math.max(0, at - place));
        const added = Array.from({ length: draw(4) }, () => ({ key: `new ${(fresh += 1)}` }));
        list = list.toSpliced(place, removed, ...added);
        page.take(list);
      }
      page.sync();
      // The row at the edge that is first measured grows upwards out of view.
      if (page.shown.topmost?.key === read && !(turn % 3 === 0 && list[place].key === read)) assert.ok(Math.abs(page.seen(read) - before) < 0.001, `turn ${turn}`);
    }
  });

  test("does not drift over many fractions of a pixel", () => {
    const page = windowOf(numbered(200), 100 * LINE);
    for (let turn = 1; turn <= 100; turn += 1) {
      page.shown.measure([["row 3", LINE + turn * 0.4]]);
      page.sync();
    }
    assert.ok(Math.abs(page.seen("row 100")) < 0.001, String(page.seen("row 100")));
  });

  test("keeps the beginning of a row in place that grows while it is read", () => {
    const page = windowOf(numbered(50), 20 * LINE);
    page.shown.measure([["row 20", 500]]);
    page.sync();
    page.scroll(20 * LINE + 100);
    page.shown.measure([["row 20", 900]]);
    page.sync();
    assert.equal(page.scrollTop, 20 * LINE + 100);
  });

  test("lets a row that the reader opens grow downwards, also if its head is out of view", () => {
    const page = windowOf(numbered(50), 20 * LINE + 10);
    page.shown.remeasure("row 20");
    page.shown.measure([["row 20", 500]]);
    page.sync();
    assert.equal(page.scrollTop, 20 * LINE + 10);
  });

  test("shows what a row stood below if that was folded over it", () => {
    const page = windowOf(numbered(100), 50 * LINE + 10);
    const list = numbered(100);
    page.take([...list.slice(0, 40), ...list.slice(70)]);
    assert.equal(page.shown.topmost.key, "row 39");
    assert.equal(page.seen("row 39"), 0);
    page.take(rows("all", "others"));
    assert.equal(page.scrollTop, 0);
  });

  test("knows the height of a row when that comes again, and takes that of one line for one that was folded", () => {
    const page = windowOf(numbered(50), 0);
    page.shown.measure([["row 2", 200]]);
    page.take(numbered(2));
    page.take(numbered(50));
    assert.equal(page.shown.total, 49 * LINE + 200);
    page.shown.unmeasure("row 2");
    assert.equal(page.shown.total, 50 * LINE);
  });

  test("brings a row into view, and keeps it there while what is around it is measured", () => {
    const page = windowOf(numbered(1000), 0);
    page.shown.follow(false);
    page.shown.goTo("row 500", "center");
    page.sync();
    assert.equal(page.seen("row 500"), 4.5 * LINE);
    page.shown.measure(Array.from({ length: 20 }, (_, at) => [`row ${490 + at}`, 100]));
    page.sync();
    assert.equal(page.seen("row 500"), 100);
    page.shown.arrived();
    page.shown.goTo("row 501", "auto");
    page.sync();
    assert.equal(page.seen("row 500"), 100, "it is seen already");
    page.shown.goTo("row 505", "auto");
    page.sync();
    assert.equal(page.seen("row 505"), 200, "it is at the lower edge");
  });

  test("moves under a finger by shifting the rows, and puts that right when the list stands still", () => {
    const page = windowOf(numbered(200), 100 * LINE);
    page.shown.hold(true);
    page.take([...rows("a", "b"), ...numbered(200)]);
    assert.equal(page.scrollTop, 100 * LINE, "the finger has it");
    assert.equal(page.seen("row 100"), 0);
    page.scroll(99 * LINE);
    assert.equal(page.seen("row 99"), 0);
    page.shown.hold(false);
    page.sync();
    assert.equal(page.scrollTop, 101 * LINE);
    assert.equal(page.seen("row 99"), 0);
  });
});
