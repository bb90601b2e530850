import assert from "node:assert/strict";
import { test } from "node:test";
import { chatProfileOf, Choices, settingsOf, sidebarOf } from "../dist/choices.js";
import { StepwireError } from "../dist/index.js";
import { serve } from "./gateway.mjs";

const LIMIT = { timeout: 20_000 };

test("what a person chooses is asked for and sent", LIMIT, async (t) => {
  const { url, requests } = await serve(t, (_, response) => {
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ session_id: "s", run_id: "r", values: { a: 1 }, chat_profiles: [] }));
  });
  const choices = new Choices({ baseUrl: url, getToken: () => "secret" });
  await choices.startPage();
  assert.deepEqual((await choices.startPage({ chatProfile: "a b", language: "de" })).chat_profiles, []);
  assert.equal(await choices.createSession("deep", "s"), "s");
  assert.deepEqual((await choices.changeSettings("s/1", { a: 1 }, "r")).values, { a: 1 });
  assert.equal((await choices.editSettings("s", { a: null }, "r")).run_id, "r");
  assert.deepEqual(requests.map(({ method, path, body }) => [method, path, body && JSON.parse(body)]), [
    ["GET", "/v1/start", ""],
    ["GET", "/v1/start?chat_profile=a+b&language=de", ""],
    ["POST", "/v1/sessions", { id: "s", chat_profile: "deep" }],
    ["PUT", "/v1/sessions/s%2F1/settings", { values: { a: 1 }, id: "r" }],
    ["POST", "/v1/sessions/s/settings/edit", { values: { a: null }, id: "r" }],
  ]);
});

test("values that do not fit are said input by input", LIMIT, async (t) => {
  const errors = [{ where: "body.values.heat", what: "takes a number" }];
  const { url } = await serve(t, (_, response) => {
    response.writeHead(422, { "content-type": "application/problem+json" });
    response.end(JSON.stringify({ code: "invalid_request", detail: "no", errors }));
  });
  await assert.rejects(new Choices({ baseUrl: url }).changeSettings("s", { heat: "x" }), (error) => {
    assert.ok(error instanceof StepwireError);
    assert.deepEqual([error.code, error.problem.errors], ["invalid_request", errors]);
    return true;
  });
});

test("the form, the profile and the sidebar are found among the elements", () => {
  const element = (id, type, props, step_id = null) => ({ id, type, name: id, step_id, props });
  const form = { inputs: [], values: { a: 1 } };
  const upload = element("u", "file", {});
  const table = element("t", "dataframe", {}, "step");
  assert.deepEqual([settingsOf([upload]), chatProfileOf([]), sidebarOf([upload])], [null, null, null]);
  const shown = element("b", "sidebar", { title: "Notes", elements: ["t", "gone", "u"], key: null });
  const all = [upload, table, element("x", "settings", {}, "step"), element("s", "settings", form), element("deep", "chat_profile", {}), shown];
  assert.equal(settingsOf(all), form);
  assert.equal(chatProfileOf(all), "deep");
  assert.deepEqual(sidebarOf(all), { title: "Notes", key: null, elements: [table, upload] });
});
