import { filesOf } from "./files.js";

/**
 * Takes files that are dropped anywhere on the page. (Without it, the browser would leave the page
 * to show the file.)
 *
 * @param {HTMLElement} overlay shown while files are dragged over the page
 * @param {(files: File[], at: Element) => void} onDrop
 */
export function acceptDrops(overlay, onDrop) {
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    overlay.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    // Between elements it fires too; with nothing to go to, the pointer has left the page.
    if (event.relatedTarget === null) overlay.hidden = true;
  });
  addEventListener("drop", (event) => {
    overlay.hidden = true;
    if (!carriesFiles(event)) return;
    event.preventDefault();
    onDrop(filesOf(event.dataTransfer), /** @type {Element} */ (event.target));
  });
}
