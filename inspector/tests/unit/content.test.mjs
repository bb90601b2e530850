import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { bytes } from "../../src/app/words.ts";
import { csvOf, sorted, tableOf, wordsOf } from "../../src/content/elements/data/table.ts";
import { Blocks } from "../../src/content/markdown/blocks.ts";
import { settledLength } from "../../src/content/markdown/held.ts";
import { saysPlace, targetOf } from "../../src/content/markdown/links.ts";
import { parser } from "../../src/content/markdown/parser.ts";
import { progressWords } from "../../src/content/numbers.ts";
import { formOf } from "../../src/content/text/form.ts";
import { ExactNumber, parsed } from "../../src/content/text/json.ts";
import { Chunks, countLines } from "../../src/content/text/lines.ts";

const DOCUMENT = `# Title

A *paragraph* with [a link][ref], \`code\` and **bold
over lines**.

- one
- two

  more of two
    1. deep

> quoted
lazily

| a | b |
|---|:-:|
| 1 | 2 |
| 3 | 4 |

\`\`\`python
def f():
    return "- no list"

# no heading
\`\`\`

$$
x^2
$$

\\[ y \\]

Setext
======

~~~
open
~~~
[ref]: https://site.test "title"

    indented

---
end`;

const html = (blocks) => blocks.map(({ tokens }) => parser.renderer.render([...tokens], parser.options, {})).join("");
const whole = (text) => parser.render(text);

describe("a text in Markdown that grows", () => {
  test("is at its end what it is when it is read at once", () => {
    for (const step of [1, 3, 7, 50]) {
      const blocks = new Blocks();
      for (let end = 0; end < DOCUMENT.length; end += step) blocks.take(DOCUMENT.slice(0, end), false);
      assert.equal(html(blocks.take(DOCUMENT, true)), whole(DOCUMENT));
    }
  });

  test("is read in pieces of any line ending", () => {
    const text = DOCUMENT.replaceAll("\n", "\r\n");
    const blocks = new Blocks();
    for (let end = 0; end < text.length; end += 5) blocks.take(text.slice(0, end), false);
    assert.equal(html(blocks.take(text, true)), whole(text));
  });

  test("never changes what a block is, once it is shown", () => {
    const blocks = new Blocks();
    const kinds = new Map();
    for (let end = 1; end <= DOCUMENT.length; end += 1) {
      for (const { at, tokens } of blocks.take(DOCUMENT.slice(0, end), false)) {
        const kind = tokens[0] ? `${tokens[0].type} ${tokens[0].info}` : "math_block ";
        // What is underlined is a paragraph until it is: nobody can know before.
        const known = kinds.get(at)?.replace("paragraph_open", "heading_open");
        const isTitle = kind.startsWith("heading_open") && kinds.get(at)?.startsWith("paragraph_open");
        if (known && !isTitle) assert.equal(kind, kinds.get(at), `at ${at}, after ${end}: ${DOCUMENT.slice(at, end)}`);
        kinds.set(at, kind);
      }
    }
  });

  test("does not read again what another block follows", () => {
    const blocks = new Blocks();
    const paragraph = "A paragraph of some words, with *marks* in it.\n\n";
    const parse = parser.parse;
    let read = 0;
    parser.parse = (text, env) => {
      read += text.length;
      return parse.call(parser, text, env);
    };
    try {
      let text = "";
      for (let n = 0; n < 500; n += 1) for (const piece of paragraph.match(/.{1,12}|\n+/g)) blocks.take((text += piece), false);
      assert.ok(read < 30 * text.length, `${read} characters were read for ${text.length}`);
    } finally {
      parser.parse = parse;
    }
  });

  test("does not read a fence again while its code grows", () => {
    const blocks = new Blocks();
    blocks.take("```js\nfirst\n", false);
    const parse = parser.parse;
    parser.parse = () => assert.fail("it was read again");
    try {
      let text = "```js\nfirst\n";
      for (let n = 0; n < 100; n += 1) {
        text += `line ${n}\n`;
        const [block] = blocks.take(text, false);
        assert.equal(block.tokens[0].content, text.slice(6));
      }
    } finally {
      parser.parse = parse;
    }
    assert.equal(blocks.take("```js\nfirst\n" + "x\n```\n\nafter", true).length, 2);
  });

  test("shows nothing of a fence's end as code", () => {
    const blocks = new Blocks();
    blocks.take("```js\na\n", false);
    for (const end of ["`", "``", "```"]) assert.equal(blocks.take(`\`\`\`js\na\n${end}`, false)[0].tokens[0].content, "a\n");
    assert.equal(blocks.take("```js\na\n`b", false)[0].tokens[0].content, "a\n`b");
  });

  test("that is another one than before is read anew", () => {
    const blocks = new Blocks();
    blocks.take("# one\n\ntwo\n\nthree", false);
    assert.equal(html(blocks.take("# other\n\ntext", false)), whole("# other\n\ntext"));
  });

  test("finds a reference that is defined below what refers to it", () => {
    const blocks = new Blocks();
    const text = "[a][1]\n\nmiddle\n\n[1]: https://site.test\n\nend";
    for (let end = 0; end < text.length; end += 1) blocks.take(text.slice(0, end), false);
    assert.match(html(blocks.take(text, true)), /<a href="https:\/\/site.test">a<\/a>/);
  });

  test("closes marks whose other half has not come", () => {
    assert.equal(html(new Blocks().take("some **bold wo", false)), "<p>some <strong>bold wo</strong></p>\n");
    assert.equal(html(new Blocks().take("a [link](https://si", false)), "<p>a link</p>\n");
  });
});

describe("what of a growing text is shown", () => {
  const shown = (text) => text.slice(0, settledLength(text));
  for (const [text, expected] of [
    ["a\n-", "a\n"],
    ["a\n===", "a\n"],
    ["a\n1.", "a\n"],
    ["a\n```py", "a\n"],
    ["a\n```py\n", "a\n```py\n"],
    ["a\n\n| x | y |", "a\n\n"],
    ["a\n\n| x | y |\n", "a\n\n"],
    ["a\n\n| x | y |\n|--", "a\n\n"],
    ["a\n\n| x | y |\n|---|---|\n", "a\n\n| x | y |\n|---|---|\n"],
    ["a\n\n| x | y |\n|---|---|\n| 1", "a\n\n| x | y |\n|---|---|\n| 1"],
    ["a - b", "a - b"],
    ["", ""],
  ]) test(JSON.stringify(text), () => assert.equal(shown(text), expected));
});

describe("money is not a formula", () => {
  for (const text of ["$5 and $10", "the $2k cohort and the $25-50k tier", "$20/user (7 users = $1680/year)", "from $2,000 to $3,000", "$7-$10", "costs 5$ or 6$"]) {
    test(text, () => assert.doesNotMatch(JSON.stringify(parser.parse(text, {})), /math_/));
  }
  for (const text of ["$x^2$", "\\(x\\)", "the $n$th", "$$x$$", "\\[ x\n+ y \\]", "a \\[x\\] b"]) {
    test(text, () => assert.match(JSON.stringify(parser.parse(text, {})), /math_/));
  }
  for (const text of ["\\$x\\$", "`$x$`", "\\\\(x\\\\)", "\\(x", "\\[x", "\\[x\n\ny\\]"]) {
    test(text, () => assert.doesNotMatch(JSON.stringify(parser.parse(text, {})), /"math_/));
  }
  test("a text of nothing but beginnings is read once", () => {
    const began = process.cpuUsage().user;
    parser.parse("\\(".repeat(30_000), {});
    parser.parse("\\[\n".repeat(10_000), {});
    assert.ok(process.cpuUsage().user - began < 3_000_000);
  });
});

test("links lead to sites and mailboxes alone", () => {
  for (const address of ["javascript:alert(1)", "data:text/html,x", "/v1/sessions", "//evil.test", "", "http://", "file:///x"]) assert.equal(targetOf(address), null);
  assert.deepEqual(targetOf("HTTPS://User@Site.test/a"), { href: "https://User@site.test/a", place: "site.test" });
  assert.ok(saysPlace("https://site.test/a", "site.test"));
  assert.ok(saysPlace("Site.test", "site.test"));
  for (const words of ["site", "site.test is good", "site.test.evil.test", "", "https://other.test"]) assert.ok(!saysPlace(words, "site.test"), words);
});

test("a text has the form that its author names, and otherwise the one that it looks like", () => {
  assert.equal(formOf("x", "Markdown", false, false), "markdown");
  assert.equal(formOf("x", "python", true, false), "code");
  assert.equal(formOf("x", null, true, false), "markdown");
  assert.equal(formOf("x", null, false, false), "plain");
  assert.equal(formOf('{"a": 1}', null, false, false), "json");
  assert.equal(formOf('{"a": 1}', null, false, true), "plain");
  assert.equal(formOf("x", "constructor", false, false), "code");
  assert.equal(formOf("x", 7, false, false), "plain");
  assert.equal(formOf("x".repeat(400_000), null, true, false), "plain");
});

test("numbers of a structure are those of its text", () => {
  const value = parsed('{"id": 9007199254740993, "small": 0.1, "far": 1e999, "one": 1.0, "big": 12345678901234567890}');
  assert.deepEqual(value.id, new ExactNumber("9007199254740993"));
  assert.deepEqual(value.far, new ExactNumber("1e999"));
  assert.equal(value.small, 0.1);
  assert.equal(value.one, 1);
  assert.equal(parsed("{"), undefined);
  assert.ok(Array.isArray(parsed("[".repeat(20_000) + "]".repeat(20_000))));
});

test("a growing text keeps its pieces", () => {
  const chunks = new Chunks();
  let text = "";
  for (let n = 0; n < 300; n += 1) chunks.take((text += `line ${n}\n`));
  const before = chunks.take(text);
  const after = chunks.take(text + "more");
  assert.equal(after.join(""), text + "more");
  assert.ok(before.length > 3);
  for (const at of before.keys()) if (at < before.length - 1) assert.equal(before[at], after[at]);
  assert.equal(chunks.take("other").join(""), "other");
  assert.equal(countLines("a\nb\n"), 2);
  assert.equal(countLines("x".repeat(1500)), 10);
});

describe("a table", () => {
  const table = tableOf({ columns: ["n", ["a", "b"]], index: [0, 1, 2, 3], data: [[10, "b10"], [null, "b9"], [9, null], [2.5, "=1+1"]] });
  const order = (sorting) => [...sorted(table, sorting)];
  test("is sorted by number, by word, and back, with what is missing last", () => {
    assert.deepEqual(order(null), [0, 1, 2, 3]);
    assert.deepEqual(order({ column: 0, down: false }), [3, 2, 0, 1]);
    assert.deepEqual(order({ column: 0, down: true }), [0, 2, 3, 1]);
    assert.deepEqual(order({ column: 1, down: false }), [3, 1, 0, 2]);
    assert.deepEqual(order({ column: -1, down: true }), [3, 2, 1, 0]);
  });
  test("has a label for several levels", () => assert.deepEqual(table.columns, ["n", "a · b"]));
  test("is written as CSV that no spreadsheet runs", () => {
    assert.equal(csvOf(table, sorted(table, null)), ",n,a · b\r\n0,10,b10\r\n1,,b9\r\n2,9,\r\n3,2.5,'=1+1");
  });
  test("keeps and sorts numbers that JavaScript cannot hold", () => {
    const ids = tableOf(parsed('{"columns": ["id"], "data": [[9007199254740993], [9007199254740992], [5]]}'));
    assert.equal(wordsOf(ids.rows[0][0]), "9007199254740993");
    assert.deepEqual([...sorted(ids, { column: 0, down: false })], [2, 1, 0]);
  });
  test("that is not one is said", () => {
    for (const value of [null, 1, [], {}, { columns: [] }, { columns: {}, data: [] }]) assert.throws(() => tableOf(value), /not a table/);
    assert.deepEqual(tableOf({ columns: ["a"], data: [1, [2]] }).index, ["0", "1"]);
  });
  test("shows a number without what its binary form adds", () => assert.equal(wordsOf(0.1 + 0.2), "0.3"));
});

test("sizes and progress are in words", () => {
  assert.equal(bytes(0), "0 B");
  assert.equal(bytes(47_100), "47.1 kB");
  assert.equal(progressWords(3, 12), "3 of 12 (25%)");
  assert.equal(progressWords(13, 12), "13 of 12 (100%)");
  assert.equal(progressWords(3, 0), "3 of 0");
  assert.equal(progressWords(3, null), "3");
});
