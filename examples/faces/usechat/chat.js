// What both pages share: which chat of which gateway it is, and what has been said in it.
import { DefaultChatTransport } from "ai";

const asked = new URLSearchParams(location.search);
export const api = `${asked.get("gateway") ?? ""}/aisdk/chat`;
export const id = location.hash.slice(1) || crypto.randomUUID();
location.hash = id;

export const post = (path, body = {}) =>
  fetch(`${api}/${id}/${path}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

/** What `useChat` takes: what has been said, and the answer that is under way. */
export const options = async () => {
  const response = await fetch(`${api}/${id}/messages`);
  return { id, messages: await response.json(), resume: true, transport: new DefaultChatTransport({ api }) };
};

/** `stop()` only stops reading: the answer would go on, for the next page that resumes it. */
export const cancel = () => post("stop");

export const answer = (ask, content) => post(`asks/${ask.id}`, { content });

/** How deep a step is below the others of its message. */
export function depth(step, parts) {
  const steps = new Map(parts.filter(({ type }) => type === "data-step").map(({ data }) => [data.id, data]));
  let deep = 0;
  for (let above = steps.get(step.parent_id); above; above = steps.get(above.parent_id)) deep++;
  return deep;
}
