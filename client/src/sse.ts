/** A frame of an event stream; a comment, or what only keeps the connection alive, has none of these. */
export interface Frame {
  id?: string;
  type?: string;
  data?: string;
  retryMs?: number;
}

/**
 * Reads an event stream (WHATWG HTML, 9.2.6) piece by piece, however the network has cut it. Other than
 * there, a frame without data is handed over, too: a gateway sends its cursor with one.
 */
export class FrameReader {
  readonly #decoder = new TextDecoder();
  #rest: string[] = [];
  #frame: Frame = {};
  #endedWithCr = false;

  read(bytes: Uint8Array): Frame[] {
    let text = this.#decoder.decode(bytes, { stream: true });
    if (!text) return [];
    // The LF of a CR LF that was cut in two.
    if (this.#endedWithCr && text[0] === "\n") text = text.slice(1);
    this.#endedWithCr = text.endsWith("\r");
    const lines = text.split(/\r\n|\n|\r/);
    if (lines.length === 1) {
      this.#rest.push(text);
      return [];
    }
    lines[0] = this.#rest.join("") + lines[0]!;
    this.#rest = [lines.pop()!];
    const frames: Frame[] = [];
    for (const line of lines) {
      if (line) this.#take(line);
      else {
        frames.push(this.#frame);
        this.#frame = {};
      }
    }
    return frames;
  }

  #take(line: string): void {
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    const frame = this.#frame;
    if (name === "data") frame.data = frame.data === undefined ? value : `${frame.data}\n${value}`;
    else if (name === "event") frame.type = value;
    else if (name === "id" && !value.includes("\0")) frame.id = value;
    else if (name === "retry" && /^\d+$/.test(value)) frame.retryMs = Number(value);
  }
}
