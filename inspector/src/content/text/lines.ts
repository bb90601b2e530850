/** So many lines are laid out as one: a browser lays out a block as a whole for each token that comes to it. */
const CHUNK_LINES = 64;
const CHARS_OF_LINE = 150;

/** A text that grows at its end, in pieces that end where a line does. The pieces but for the last stay the same strings. */
export class Chunks {
  #text = "";
  #whole: string[] = [];
  #from = 0;

  take(text: string): readonly string[] {
    if (!text.startsWith(this.#text)) {
      this.#whole = [];
      this.#from = 0;
    }
    this.#text = text;
    for (let end = this.#lines(); end > 0; end = this.#lines()) {
      this.#whole.push(text.slice(this.#from, end));
      this.#from = end;
    }
    return [...this.#whole, text.slice(this.#from)];
  }

  /** Where so many lines end from here; 0 if there are fewer. */
  #lines(): number {
    let end = this.#from - 1;
    for (let count = 0; count < CHUNK_LINES; count += 1) {
      end = this.#text.indexOf("\n", end + 1);
      if (end < 0) return 0;
    }
    return end + 1;
  }
}

/** About how many lines a text takes on the page. */
export function countLines(text: string): number {
  let count = 1;
  for (let at = text.indexOf("\n"); at >= 0 && at < text.length - 1; at = text.indexOf("\n", at + 1)) count += 1;
  return Math.max(count, Math.ceil(text.length / CHARS_OF_LINE));
}
