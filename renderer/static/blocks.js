// Blocks of buckets as they come over the wire, and the growing columns that they are decoded into.
const Blocks = (() => {
  'use strict';

  function bytes(text) {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
    const raw = atob(text),
      out = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
    return out;
  }
  const f64 = (text) => new Float64Array(bytes(text).buffer);
  const f32 = (text) => new Float32Array(bytes(text).buffer);
  const u32 = (text) => new Uint32Array(bytes(text).buffer);

  /** Steps are mostly even, and then told as [first, step], or [first, step, last] where the last bucket is not full. */
  function steps(block) {
    if (!Array.isArray(block.x)) return f64(block.x);
    const [first, step, last] = block.x,
      found = Float64Array.from({ length: block.len }, (_, i) => first + i * step);
    if (last !== undefined) found[block.len - 1] = last;
    return found;
  }
  const times = (block) => (block.t0 === undefined ? f64(block.t) : Float64Array.from(u32(block.t), (ms) => block.t0 + ms / 1000));
  /** Steps of the extremes: with `near` as distances from the bucket's own. */
  const where = (block, text, x) => (!text ? x : block.near ? Float64Array.from(f32(text), (back, i) => x[i] - back) : f64(text));

  const NAMES = ['x', 't', 'mean', 'lo', 'hi', 'xlo', 'xhi', 'n', 'bad'];
  /** Growing columns of buckets. While `k` is 1 a bucket is a record, and lo, hi are its value. */
  class Columns {
    constructor() {
      this.k = 1;
      this.size = 0;
      this.room = 0;
      this.rev = 0;
      this.bads = 0;
      this.allocate(64);
    }
    allocate(room) {
      for (const name of NAMES) {
        if (this.k === 1 && name in Columns.SAME) continue;
        const next = new (name === 'n' || name === 'bad' ? Uint32Array : Float64Array)(room);
        if (this.size) next.set(this[name].subarray(0, this.size));
        this[name] = next;
      }
      if (this.k === 1) for (const [name, as] of Object.entries(Columns.SAME)) this[name] = this[as];
      this.room = room;
    }
    /** Take a block; false when buckets before it are missing. */
    take(block) {
      const { from, len, k } = block;
      if (from > this.size && from > 0) return false;
      if (k !== this.k || from === 0) {
        this.k = k;
        this.size = 0;
        this.bads = 0;
        this.allocate(Math.max(64, len + (len >> 2)));
      }
      for (let i = from; i < this.size; i++) if (this.bad[i]) this.bads--;
      this.size = from;
      if (from + len > this.room) this.allocate(Math.max(2 * this.room, from + len));
      const value = block.wide ? f64 : f32,
        x = steps(block),
        mean = value(block.mean);
      this.x.set(x, from);
      this.t.set(times(block), from);
      this.mean.set(mean, from);
      if (k > 1) {
        this.lo.set(value(block.lo), from);
        this.hi.set(value(block.hi), from);
        this.xlo.set(where(block, block.xlo, x), from);
        this.xhi.set(where(block, block.xhi, x), from);
        if (typeof block.n === 'string') this.n.set(u32(block.n), from);
        else this.n.fill(k, from, from + len);
        if (typeof block.n === 'number') this.n[from + len - 1] = block.n; // the last one is not full
        if (block.bad) this.bad.set(u32(block.bad), from);
        else this.bad.fill(0, from, from + len);
      } else {
        for (let i = 0; i < len; i++) {
          const good = Number.isFinite(mean[i]);
          this.n[from + i] = good;
          this.bad[from + i] = !good;
        }
      }
      this.size = from + len;
      for (let i = from; i < this.size; i++) if (this.bad[i]) this.bads++;
      this.rev++;
      return true;
    }
  }
  Columns.SAME = { lo: 'mean', hi: 'mean', xlo: 'x', xhi: 'x' };
  return { Columns };
})();
