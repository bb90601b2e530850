import { uploadFile } from "./api.js";
import { el, icon } from "./dom.js";
import { bytes } from "./format.js";

/**
 * Files that wait to be sent, each with a button that takes it away. They are uploaded only when
 * they are sent: an uploaded file is visible on every page, and cannot be taken back.
 */
export class Files {
  element = el("ul", { class: "chips", "aria-label": "Files to be sent" });
  /** @type {Map<File, {chip: HTMLElement, elementId: string | null}>} */
  #chosen = new Map();
  #onChange;

  /** @param {() => void} onChange */
  constructor(onChange) {
    this.#onChange = onChange;
    this.element.hidden = true;
  }

  /** @returns {File[]} */
  get chosen() {
    return [...this.#chosen.keys()];
  }

  /** @param {Iterable<File>} files */
  add(files) {
    for (const file of files) {
      const chip = this.#chip(file);
      this.#chosen.set(file, { chip, elementId: null });
      this.element.append(chip);
    }
    this.#changed();
  }

  /** @param {Iterable<File>} files */
  remove(files) {
    for (const file of files) {
      this.#chosen.get(file)?.chip.remove();
      this.#chosen.delete(file);
    }
    this.#changed();
  }

  /**
   * Uploads what is not uploaded yet, so that it can be called again after it failed.
   *
   * @param {string} sid
   * @param {File[]} files some of those chosen
   * @returns {Promise<string[]>} the ids of their elements
   * @throws {import("./api.js").Problem}
   */
  async upload(sid, files) {
    const ids = [];
    for (const file of files) {
      const state = this.#chosen.get(file);
      if (!state) continue;
      state.chip.dataset.uploading = "true";
      try {
        state.elementId ??= (await uploadFile(sid, file)).id;
      } finally {
        delete state.chip.dataset.uploading;
      }
      ids.push(state.elementId);
    }
    return ids;
  }

  /** Uploaded files may have been sent with something already: upload them again next time. */
  forget() {
    for (const state of this.#chosen.values()) state.elementId = null;
  }

  /** @param {boolean} busy while they are sent, none can be taken away */
  settle(busy) {
    for (const button of this.element.querySelectorAll("button")) button.disabled = busy;
  }

  /** @param {File} file */
  #chip(file) {
    const button = el("button", { type: "button", class: "copy", "aria-label": `Remove ${file.name}` },
      icon("error"));
    const chip = el("li", { class: "chip" }, icon("file"), el("span", { class: "chip-name" }, file.name),
      el("span", { class: "chip-size" }, bytes(file.size)), button);
    button.addEventListener("click", () => {
      // The keyboard's focus stays among the files, or on their surroundings.
      const next = chip.nextElementSibling ?? chip.previousElementSibling;
      this.remove([file]);
      next?.querySelector("button")?.focus();
    });
    return chip;
  }

  #changed() {
    this.element.hidden = this.#chosen.size === 0;
    this.#onChange();
  }
}

/**
 * A button that opens the browser's file picker.
 *
 * @param {HTMLButtonElement} button
 * @param {HTMLInputElement} input of type `file`
 * @param {(files: File[]) => void} onChosen
 */
export function pickWith(button, input, onChosen) {
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    const files = [...input.files];
    // Else the same file, chosen again after it was removed, would be no change.
    input.value = "";
    onChosen(files);
  });
}

/** @param {DataTransfer | null} transfer @returns {File[]} what is dropped or pasted, if files */
export const filesOf = (transfer) => [...(transfer?.files ?? [])];
