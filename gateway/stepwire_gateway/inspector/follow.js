/** Nearer to the bottom than this counts as being there. */
const BOTTOM_PX = 48;

/** Keeps the reader at the end of what grows, as long as that is where they are. */
export class Follow {
  #scroller;
  #button;
  #following = true;

  /**
   * @param {HTMLElement} scroller
   * @param {HTMLElement} button shown when the end is out of sight
   */
  constructor(scroller, button) {
    this.#scroller = scroller;
    this.#button = button;
    scroller.addEventListener("scroll", () => this.look(), { passive: true });
    // What the reader opens grows too, and must not be pulled away from them.
    scroller.addEventListener("click", () => requestAnimationFrame(() => this.look()));
    button.addEventListener("click", () => this.jump());
    new ResizeObserver(() => this.grown()).observe(scroller);
  }

  /** Call when the content has grown. */
  grown() {
    if (this.#following) this.#scroller.scrollTop = this.#scroller.scrollHeight;
    else this.look();
  }

  /** Takes from where the reader is whether they follow. */
  look() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    this.#following = scrollHeight - scrollTop - clientHeight < BOTTOM_PX;
    this.#button.hidden = this.#following;
  }

  jump() {
    this.#following = true;
    this.#button.hidden = true;
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }
}
