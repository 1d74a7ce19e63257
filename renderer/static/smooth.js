// Arithmetic on columns of buckets: smoothing, trend, breaks, thinning for the screen, bands over seeds. No elements here.
const Smooth = (() => {
  'use strict';

  /** Places where the steps fall back: a resumed run, which is drawn as segments. */
  function breaks(c) {
    const found = [];
    for (let i = 1; i < c.size; i++) if (c.x[i] < c.x[i - 1]) found.push(i);
    return found;
  }
  function constant(c) {
    let first = NaN;
    for (let i = 0; i < c.size; i++) {
      if (!c.n[i]) continue;
      if (Number.isNaN(first)) first = c.mean[i];
      if (c.lo[i] !== first || c.hi[i] !== first) return false;
    }
    return true;
  }
  /** TensorBoard's debiased exponential mean; a bucket of n records counts as n of them with its mean. */
  function ema(c, w, at) {
    const out = new Float64Array(c.size);
    let last = 0,
      seen = 0,
      next = 0;
    for (let i = 0; i < c.size; i++) {
      if (at[next] === i) {
        last = 0;
        seen = 0;
        next++;
      }
      const n = c.n[i];
      if (!n) {
        out[i] = NaN;
        continue;
      }
      const keep = w ** n;
      last = last * keep + (1 - keep) * c.mean[i];
      seen += n;
      out[i] = last / (1 - w ** seen);
    }
    return out;
  }
  /** Mean of the last `records` finite records, or of as many as there are; of a bucket that is cut, its share. */
  function windowed(c, records, at) {
    const out = new Float64Array(c.size);
    let sum = 0,
      n = 0,
      tail = 0,
      next = 0;
    for (let i = 0; i < c.size; i++) {
      if (at[next] === i) {
        sum = 0;
        n = 0;
        tail = i;
        next++;
      }
      if (c.n[i]) {
        sum += c.mean[i] * c.n[i];
        n += c.n[i];
      }
      while (tail < i && n - c.n[tail] >= records) {
        if (c.n[tail]) {
          sum -= c.mean[tail] * c.n[tail];
          n -= c.n[tail];
        }
        tail++;
      }
      const over = Math.min(Math.max(0, n - records), c.n[tail]),
        part = n - over;
      out[i] = c.n[i] && part > 0 ? (sum - (over ? c.mean[tail] * over : 0)) / part : NaN;
    }
    return out;
  }
  const cache = new WeakMap();
  /** Smoothed values of every bucket, or null where nothing is to be smoothed. `how`: {kind: 'ema'|'mean'|'none', w, records}. */
  function smooth(c, how) {
    const key = `${c.rev}|${how.kind}|${how.w}|${how.records}`;
    const known = cache.get(c) || {};
    if (known[key] !== undefined) return known[key];
    const at = breaks(c);
    const idle = how.kind === 'none' || (how.kind === 'ema' ? !(how.w > 0) : !(how.records > 1)) || constant(c);
    const found = idle ? null : how.kind === 'ema' ? ema(c, how.w, at) : windowed(c, how.records, at);
    // Two settings of one revision: a panel may draw a second, slower mean.
    cache.set(c, known.rev === c.rev && Object.keys(known).length < 4 ? { ...known, [key]: found } : { rev: c.rev, [key]: found });
    return found;
  }
  /** The straight line through the last `records` records, least squares over bucket means: [x0, y0, x1, y1], or null. */
  function trend(c, records) {
    let from = c.size,
      n = 0;
    const at = breaks(c),
      floor = at.length ? at[at.length - 1] : 0;
    while (from > floor && n < records) n += c.n[--from];
    if (n < 5 || c.size - from < 3) return null;
    let sx = 0,
      sy = 0,
      sxx = 0,
      sxy = 0;
    const x0 = c.x[from],
      x1 = c.x[c.size - 1],
      m = n;
    for (let i = from; i < c.size; i++) {
      if (!c.n[i]) continue;
      const x = c.x[i] - x0,
        w = c.n[i];
      sx += w * x;
      sy += w * c.mean[i];
      sxx += w * x * x;
      sxy += w * x * c.mean[i];
    }
    const under = m * sxx - sx * sx;
    if (!(under > 0)) return null;
    const slope = (m * sxy - sx * sy) / under,
      y0 = (sy - slope * sx) / m;
    return [x0, y0, x1, y0 + slope * (x1 - x0), from, n];
  }
  /** What a trend says in a word. */
  function word(line) {
    const change = line[1] ? (line[3] - line[1]) / Math.abs(line[1]) : NaN;
    if (!Number.isFinite(change) || Math.abs(change) < 0.005) return 'flat';
    const a = Math.abs(change);
    return `${change > 0 ? 'rising' : 'falling'} ${a < 10 ? `${Math.round(a * 100) || '<1'} %` : 'steeply'}`;
  }

  /** What is known of a group of buckets, in the order of `facts`. */
  const FACTS = ['x', 'step', 't', 'y', 'lo', 'hi', 'n', 'bad', 's'];
  /** Room to work in, kept: arrays that grow, and objects for every group, were most of the page's garbage. */
  let room = { groups: 0 };
  function roomFor(groups) {
    if (room.groups < groups) {
      const most = 2 * groups,
        points = () => new Float64Array(3 * most); // a group is two at most, and a break before it
      room = { groups: most, rx: points(), ry: points(), sx: points(), sy: points(), facts: new Float64Array(FACTS.length * most) };
    }
    return room;
  }
  /** Groups as objects, for those who look closely at a few. */
  function cells(facts) {
    return Array.from({ length: facts.length / FACTS.length }, (_, i) =>
      Object.fromEntries(FACTS.map((name, j) => [name, facts[i * FACTS.length + j]])),
    );
  }
  const NONE = new Float64Array(0);
  const empty = () => ({ rx: NONE, ry: NONE, sx: NONE, sy: NONE, facts: NONE, groups: 0, bads: 0 });

  /**
   * Columns as points for a window [a, b] of `at(i)`: at most `most` groups of neighbours, whose borders do not move when data
   * is added, each drawn as its lowest and its highest record at their own places; the smooth curve has one point a group.
   */
  function points(c, smoothed, place, a, b, most) {
    const { at, lowAt, highAt } = place;
    const marks = breaks(c),
      starts = new Set(marks);
    let first = -1,
      last = -1,
      inside = 0;
    for (let i = 0; i < c.size; i++) {
      const x = at(i);
      if (x >= a && x <= b) {
        if (first < 0) first = i;
        last = i;
        inside++;
      }
    }
    if (first < 0) {
      // a window between two records still shows the line that crosses it
      for (let i = 0; i < c.size && first < 0; i++) if (at(i) > b) first = i;
      if (first < 0) return empty();
      last = first;
    }
    first = Math.max(0, first - 1);
    last = Math.min(c.size - 1, last + 1);
    let size = 1;
    while (size * most < (inside || 1)) size *= 2;
    first -= first % size;
    const { rx, ry, sx, sy, facts } = roomFor(Math.ceil((last - first + 1) / size) + marks.length + 1);
    let raws = 0,
      means = 0,
      groups = 0,
      bads = 0;
    const raw = (x, y) => {
      rx[raws] = x;
      ry[raws++] = y;
    };
    for (let i = first; i <= last;) {
      if (starts.has(i) && i > first) {
        raw(NaN, NaN);
        sx[means] = NaN;
        sy[means++] = NaN;
      }
      let end = Math.min(i - (i % size) + size, last + 1),
        lo = Infinity,
        hi = -Infinity,
        il = -1,
        ih = -1,
        n = 0,
        bad = 0,
        sum = 0;
      for (let j = i + 1; j < end; j++)
        if (starts.has(j)) {
          end = j;
          break;
        }
      for (let j = i; j < end; j++) {
        bad += c.bad[j];
        if (!c.n[j]) continue;
        n += c.n[j];
        sum += c.mean[j] * c.n[j];
        if (c.lo[j] < lo) {
          lo = c.lo[j];
          il = j;
        }
        if (c.hi[j] > hi) {
          hi = c.hi[j];
          ih = j;
        }
      }
      const e = end - 1;
      const x = at(e),
        s = smoothed ? smoothed[e] : NaN;
      if (!n) raw(x, NaN);
      else if (lo === hi) raw(n === 1 ? at(il) : x, lo);
      else {
        const xl = lowAt(il),
          xh = highAt(ih);
        if (xl <= xh) {
          raw(xl, lo);
          raw(xh, hi);
        } else {
          raw(xh, hi);
          raw(xl, lo);
        }
      }
      if (smoothed) {
        sx[means] = x;
        sy[means++] = s;
      }
      const f = FACTS.length * groups++;
      facts[f] = x;
      facts[f + 1] = c.x[e];
      facts[f + 2] = c.t[e];
      facts[f + 3] = n ? sum / n : c.mean[e];
      facts[f + 4] = lo;
      facts[f + 5] = hi;
      facts[f + 6] = n;
      facts[f + 7] = bad;
      facts[f + 8] = s;
      bads += bad;
      i = end;
    }
    return {
      rx: rx.slice(0, raws),
      ry: ry.slice(0, raws),
      sx: sx.slice(0, means),
      sy: sy.slice(0, means),
      facts: facts.slice(0, FACTS.length * groups),
      groups,
      bads,
    };
  }

  /** Mean, lowest and highest of several curves [{x, y}] on a common grid over [a, b]; a curve counts where it has data. */
  function band(curves, a, b, size = 240) {
    const grid = new Float64Array(size),
      mean = new Float64Array(size),
      low = new Float64Array(size),
      high = new Float64Array(size),
      n = new Uint16Array(size);
    const on = curves.map(({ x, y }) => {
      const keep = [];
      for (let i = 0; i < x.length; i++) if (Number.isFinite(y[i]) && Number.isFinite(x[i])) keep.push(i);
      return { x, y, keep, j: 0 };
    });
    for (let g = 0; g < size; g++) {
      const at = (grid[g] = a + ((b - a) * g) / (size - 1));
      let sum = 0;
      low[g] = Infinity;
      high[g] = -Infinity;
      for (const c of on) {
        const { x, y, keep } = c;
        if (!keep.length || at < x[keep[0]] || at > x[keep[keep.length - 1]]) continue;
        while (c.j < keep.length - 2 && x[keep[c.j + 1]] < at) c.j++;
        const i = keep[c.j],
          k = keep[Math.min(c.j + 1, keep.length - 1)];
        const share = x[k] > x[i] ? Math.min(1, Math.max(0, (at - x[i]) / (x[k] - x[i]))) : 0,
          v = y[i] + (y[k] - y[i]) * share;
        sum += v;
        n[g]++;
        if (v < low[g]) low[g] = v;
        if (v > high[g]) high[g] = v;
      }
      if (n[g]) mean[g] = sum / n[g];
      else mean[g] = low[g] = high[g] = NaN;
    }
    return { grid, mean, low, high, n };
  }
  function percentile(sorted, share) {
    return sorted.length ? sorted[Math.min(sorted.length - 1, Math.max(0, Math.round(share * (sorted.length - 1))))] : NaN;
  }
  return { breaks, ema, windowed, smooth, trend, word, points, cells, band, percentile, constant };
})();
