/**
 * The heights of the rows of a list, in pixels. Where a row begins and which one lies at a place is found without a walk
 * over the list: partial sums of them are kept in a binary indexed tree (Fenwick 1994).
 */
export class Heights {
  length = 0;
  #heights = new Float64Array(64);
  /** At `n`: the sum of the `n & -n` heights that end with the one at `n - 1`. */
  #sums = new Float64Array(65);

  get total(): number {
    return this.before(this.length);
  }

  of(at: number): number {
    return this.#heights[at]!;
  }

  set(at: number, px: number): void {
    const by = px - this.#heights[at]!;
    this.#heights[at] = px;
    if (by !== 0) for (let n = at + 1; n <= this.length; n += n & -n) this.#sums[n]! += by;
  }

  /** Rows come, go, or take the places of others. */
  splice(at: number, removed: number, added: readonly number[]): void {
    if (removed === added.length) return added.forEach((px, by) => this.set(at + by, px));
    const length = this.length - removed + added.length;
    this.#reserve(length);
    this.#heights.copyWithin(at + added.length, at + removed, this.length);
    this.#heights.set(added, at);
    this.length = length;
    for (let n = at + 1; n <= length; n += 1) {
      let sum = this.#heights[n - 1]!;
      for (let back = 1; back < (n & -n); back <<= 1) sum += this.#sums[n - back]!;
      this.#sums[n] = sum;
    }
  }

  /** Where a row begins. */
  before(at: number): number {
    let sum = 0;
    for (let n = at; n > 0; n &= n - 1) sum += this.#sums[n]!;
    return sum;
  }

  /** The row that lies at a place; the first or the last one for what is outside. 0 if there are no rows. */
  at(px: number): number {
    let at = 0;
    let rest = px;
    for (let part = 1 << Math.floor(Math.log2(this.length || 1)); part > 0; part >>= 1) {
      const sum = this.#sums[at + part];
      if (at + part > this.length || sum! > rest) continue;
      at += part;
      rest -= sum!;
    }
    return Math.max(0, Math.min(at, this.length - 1));
  }

  #reserve(length: number): void {
    if (length <= this.#heights.length) return;
    const room = Math.max(length, 2 * this.#heights.length);
    const [heights, sums] = [new Float64Array(room), new Float64Array(room + 1)];
    heights.set(this.#heights);
    sums.set(this.#sums);
    this.#heights = heights;
    this.#sums = sums;
  }
}
