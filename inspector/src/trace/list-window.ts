import { Heights } from "./heights";

export interface Item {
  readonly key: string;
}

export type Align = "center" | "auto";

/** So many rows beside those that are seen are in the page, so that a fast reader sees no gap. */
const BESIDE = 12;
const AT_END_PX = 40;
/** A browser scrolls to whole pixels of the screen; what it then reports is not a move of the reader. */
const ROUNDING_PX = 1;

/**
 * Which rows of a long list are in the page, and where. What the reader looks at stays where it is, whatever comes, goes
 * or grows above it; at the end, and only there, the list follows what comes.
 *
 * It touches no page: it is told how far the list is scrolled, and says how far it has to be.
 */
export class ListWindow<T extends Item> {
  /** Grows with each change of what is to be in the page, or where. */
  version = 0;
  list: readonly T[] = [];
  /** Whether the list stays at its end. */
  isFollowing = true;
  /** The page has to be scrolled to {@link scrollTop}. */
  isMoved = false;
  readonly #heights = new Heights();
  readonly #measured = new Map<string, number>();
  readonly #estimate: (item: T) => number;
  readonly #listeners = new Set<() => void>();
  /** What of the list is at the upper edge of what is seen. */
  #top = 0;
  #height = 0;
  /** As it was reported last. */
  #lastTop = 0;
  #first = 0;
  #last = -1;
  #aim: { readonly key: string; readonly align: Align } | null = null;
  /**
   * So much further up stand the rows in the page than in the list. A page is scrolled by whole pixels, so that the rest
   * of a row's height would shake what is read; and while a finger, or its momentum, moves the list, not at all.
   */
  #shift = 0;
  #isHeld = false;

  /** @param estimate the height of a row that has not been measured */
  constructor(estimate: (item: T) => number) {
    this.#estimate = estimate;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** The height of the whole list. */
  get total(): number {
    return Math.ceil(this.#heights.total - this.#shift);
  }

  get scrollTop(): number {
    return this.#top - this.#shift;
  }

  /** Whether all that comes after what is seen is seen, too. */
  get isAtEnd(): boolean {
    return this.isFollowing || this.scrollTop >= this.#most;
  }

  get height(): number {
    return this.#height;
  }

  /** The first row that is seen; undefined if the list is empty. */
  get topmost(): T | undefined {
    return this.list[this.#first];
  }

  /** The rows that are to be in the page, from `first` to `last`. */
  get range(): { readonly first: number; readonly last: number } {
    return { first: Math.max(0, this.#first - BESIDE), last: Math.min(this.list.length - 1, this.#last + BESIDE) };
  }

  /** Where a row is to be in the page. */
  startOf(at: number): number {
    return this.#heights.before(at) - this.#shift;
  }

  /** The list is another. A row with the same key is the same row. To be called while it is rendered: no listener is called. */
  take(list: readonly T[]): void {
    const before = this.list;
    if (list === before) return;
    this.list = list;
    const shorter = Math.min(before.length, list.length);
    let from = 0;
    while (from < shorter && isSame(before[from]!, list[from]!)) from += 1;
    let [end, to] = [before.length, list.length];
    while (end > from && to > from && isSame(before[end - 1]!, list[to - 1]!)) {
      end -= 1;
      to -= 1;
    }
    const anchor = this.#heights.at(this.#top);
    const within = this.#top - this.#heights.before(anchor);
    const added = list.slice(from, to);
    this.#heights.splice(from, end - from, added.map((item) => this.#measured.get(item.key) ?? this.#estimate(item)));
    if (!this.isFollowing && anchor >= end) this.#move(this.#heights.before(anchor - end + to) + within - this.#top);
    else if (!this.isFollowing && anchor >= from && before.length > 0) {
      const places = new Map(added.map(({ key }, at) => [key, from + at]));
      let old = anchor;
      while (old >= from && !places.has(before[old]!.key)) old -= 1;
      // The topmost row is gone, as it was folded: the row before it that is left takes its place.
      const now = old >= from ? places.get(before[old]!.key)! : Math.max(0, from - 1);
      this.#move(this.#heights.before(now) + (old === anchor ? within : 0) - this.#top);
    }
    this.#settle();
  }

  /** What rows have been measured at, by their keys. */
  measure(sizes: Iterable<readonly [key: string, px: number]>): void {
    let isAnother = false;
    for (const [key, px] of sizes) {
      const isFirst = !this.#measured.has(key);
      this.#measured.set(key, px);
      const at = this.indexOf(key);
      if (at < 0) continue;
      const [start, before] = [this.#heights.before(at), this.#heights.of(at)];
      if (px === before) continue;
      isAnother = true;
      this.#heights.set(at, px);
      // Above what is read; and of one that is read, what now first stands there is above that.
      if (!this.isFollowing && (isFirst ? start + 1 : start + before) <= this.#top) this.#move(px - before);
    }
    if (isAnother) this.#change();
  }

  /** It is as high as was estimated, and will grow: downwards, as it is seen. */
  remeasure(key: string): void {
    const at = this.indexOf(key);
    if (at >= 0) this.#measured.set(key, this.#heights.of(at));
  }

  /** It is as high as is estimated, without being measured. */
  unmeasure(key: string): void {
    if (!this.#measured.delete(key)) return;
    const at = this.indexOf(key);
    if (at < 0) return;
    const [start, before, px] = [this.#heights.before(at), this.#heights.of(at), this.#estimate(this.list[at]!)];
    this.#heights.set(at, px);
    if (!this.isFollowing && start + before <= this.#top) this.#move(px - before);
    this.#change();
  }

  /** Where a row is in the list; -1 if it is not. Rows in the page are looked at first. */
  indexOf(key: string): number {
    const { first, last } = this.range;
    for (let at = first; at <= last; at += 1) if (this.list[at]!.key === key) return at;
    return this.list.findIndex((item) => item.key === key);
  }

  /** The browser says how far the list is scrolled: because of the reader, or as {@link scrollTop} asked for. */
  scrolled(px: number): void {
    const [rest, wasFollowing] = [this.total - px - this.#height, this.isFollowing];
    // However little the reader moves up, they want to stay there.
    if (px < this.#lastTop && rest > 1) this.isFollowing = false;
    else if (px > this.#lastTop && rest <= AT_END_PX) this.isFollowing = true;
    this.#lastTop = px;
    if (this.isFollowing || Math.abs(px - this.scrollTop) >= ROUNDING_PX) this.#top = px + this.#shift;
    if (!this.#look() && this.isFollowing !== wasFollowing) this.#tell();
  }

  resized(height: number): void {
    if (height === this.#height) return;
    this.#height = height;
    this.#change();
  }

  follow(follows: boolean): void {
    if (follows === this.isFollowing) return;
    this.isFollowing = follows;
    this.#change();
  }

  /** Brings a row into view, and keeps it there while rows that come into view with it are measured, until {@link arrived}. */
  goTo(key: string, align: Align): void {
    this.#aim = { key, align };
    this.#change();
  }

  arrived(): void {
    this.#aim = null;
  }

  /** A finger holds the list, or its momentum moves it. A browser would ignore another place for it, or stop it there. */
  hold(isHeld: boolean): void {
    if (isHeld === this.#isHeld) return;
    this.#isHeld = isHeld;
    if (isHeld) return;
    this.#put();
    this.#change();
  }

  get #most(): number {
    return Math.max(0, Math.ceil(this.#heights.total) - this.#height);
  }

  #move(by: number): void {
    if (by === 0) return;
    this.#top += by;
    if (this.#isHeld) this.#shift += by;
    else this.#put();
  }

  #put(): void {
    this.#shift = this.#top - Math.round(this.#top);
    this.isMoved = true;
  }

  #change(): void {
    this.#settle();
    this.#tell();
  }

  #settle(): void {
    if (this.#aim) this.#moveToAim(this.#aim);
    else if (this.isFollowing && !this.#isHeld) {
      this.#top = this.#most;
      this.#put();
    }
    this.#first = this.#heights.at(this.#top);
    this.#last = this.#heights.at(this.#top + this.#height);
  }

  #moveToAim({ key, align }: { readonly key: string; readonly align: Align }): void {
    const at = this.indexOf(key);
    if (at < 0) return;
    const [start, px] = [this.#heights.before(at), this.#heights.of(at)];
    const end = start + px - this.#height;
    const wanted = align === "center" && px < this.#height ? (start + end) / 2 : this.#top > start || px > this.#height ? start : Math.max(this.#top, end);
    this.#move(Math.max(0, Math.min(wanted, this.#most)) - this.#top);
  }

  #look(): boolean {
    const [first, last] = [this.#heights.at(this.#top), this.#heights.at(this.#top + this.#height)];
    if (first === this.#first && last === this.#last) return false;
    this.#first = first;
    this.#last = last;
    this.#tell();
    return true;
  }

  #tell(): void {
    this.version += 1;
    for (const listener of [...this.#listeners]) listener();
  }
}

const isSame = (one: Item, other: Item) => one === other || one.key === other.key;
