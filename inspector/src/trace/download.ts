/** Gives the browser a JSON document to keep. */
export function download(name: string, document_: unknown): void {
  const url = URL.createObjectURL(new Blob([JSON.stringify(document_, null, 2)], { type: "application/json" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name.replaceAll(/[^\w.@~-]/g, "_");
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 0);
}
