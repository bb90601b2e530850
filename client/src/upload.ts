import type { Session, UploadOptions } from "./session.js";
import type { StepElement } from "./vocabulary.js";

/**
 * Uploads a file as {@link Session.upload} does, and tells how many bytes have gone. `fetch` does not say
 * that; without `XMLHttpRequest` (Node), `onProgress` is called once, with all of them.
 */
export async function uploadWithProgress(
  session: Session, file: Blob, onProgress: (sentBytes: number) => void, options: UploadOptions = {},
): Promise<StepElement> {
  if (typeof XMLHttpRequest !== "undefined") {
    return session.upload(file, { ...options, fetch: (url, init) => send(url, init, file, onProgress) });
  }
  const element = await session.upload(file, options);
  onProgress(file.size);
  return element;
}

function send(url: string, init: RequestInit, file: Blob, onProgress: (sentBytes: number) => void): Promise<Response> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", url);
    request.withCredentials = init.credentials === "include";
    for (const [name, value] of Object.entries(init.headers as Record<string, string>)) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded }) => onProgress(loaded);
    request.onload = () => {
      const retryAfter = request.getResponseHeader("retry-after");
      const headers: Record<string, string> = retryAfter ? { "retry-after": retryAfter } : {};
      resolve(new Response(request.status === 204 ? null : request.responseText, { status: request.status, statusText: request.statusText, headers }));
    };
    request.onerror = () => reject(new TypeError("the upload failed"));
    request.onabort = () => reject(new DOMException("given up", "AbortError"));
    init.signal?.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}
