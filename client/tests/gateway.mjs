// A server that answers as the test says, for what a real gateway does too seldom to be waited for.
import { createServer } from "node:http";

/** @param answer called with each request, its body read, and the response */
export async function serve(t, answer) {
  const requests = [];
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (piece) => (body += piece));
    request.on("end", () => {
      requests.push({ method: request.method, path: request.url, headers: request.headers, body });
      answer(request, response, requests.length);
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${server.address().port}`, requests };
}

export const problem = (response, status, code, headers = {}) => {
  response.writeHead(status, { "content-type": "application/problem+json", ...headers });
  response.end(JSON.stringify({ type: "about:blank", title: "T", status, detail: `because of ${code}`, code, field: 7 }));
};

export const streaming = (response) => response.writeHead(200, { "content-type": "text/event-stream" }).write("retry: 1\n\n");
export const frame = ({ id, type, data }) => `id: ${id}\nevent: ${type}\ndata: ${JSON.stringify(data)}\n\n`;

/** Resolves when a key of the store changes and `is` holds. */
export function until(store, key, is) {
  return new Promise((resolve) => {
    const leave = store.subscribe(key, look);
    function look() {
      if (!is()) return;
      leave();
      resolve();
    }
    look();
  });
}
