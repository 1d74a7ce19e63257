// Zoom into a long run: the finest tiles that suit the window, spliced into the base by the records they stand for; from a server
// (`avaliacoes up --serve`) also every record of a narrow window.
const Tiles = (() => {
  'use strict';
  const MOST = 2000, KEPT = 160, INDEX_S = 20;
  const indexes = new Map(); // "run/series" -> {at, levels, asked}
  const tiles = new Map(); // "run/series/k/i" -> block or "asked" or "missing", the oldest first
  const spliced = new Map(); // "run/series" -> {key, columns}
  const served = location.protocol.startsWith('http');
  const windows = new Map(); // "run/series" -> {key, block}
  const name = (run, s) => `${run.name}/${s.id}`;

  const handlers = {
    tiles(o, run) { const at = `${run.name}/${o.id}`; indexes.set(at, { ...indexes.get(at), levels: o.levels }); },
    tile(o, run) { keep(`${run.name}/${o.id}/${o.k}/${o.i}`, o.block); },
  };
  function keep(key, value) {
    tiles.delete(key);
    tiles.set(key, value);
    if (tiles.size > KEPT) tiles.delete(tiles.keys().next().value);
  }
  async function askIndex(run, s) {
    const at = name(run, s), known = indexes.get(at);
    if (known && (known.asked || Kit.now() - known.at < INDEX_S)) return;
    indexes.set(at, { levels: null, ...known, asked: true });
    await Data.fresh(`${run.dir}/tiles/${s.id}.js`);
    Object.assign(indexes.get(at), { asked: false, at: Kit.now() });
    Data.emit({ run, kind: 'data', touched: new Set([s.chart]) });
  }
  async function askTiles(run, s, k, wanted) {
    const missing = wanted.filter((i) => !tiles.has(`${name(run, s)}/${k}/${i}`));
    if (!missing.length) return;
    for (const i of missing) keep(`${name(run, s)}/${k}/${i}`, 'asked');
    await Promise.all(missing.map((i) => Data.load(`${run.dir}/tiles/${s.id}-${k}-${i}.js`)));
    for (const i of missing) if (tiles.get(`${name(run, s)}/${k}/${i}`) === 'asked') keep(`${name(run, s)}/${k}/${i}`, 'missing');
    Data.emit({ run, kind: 'data', touched: new Set([s.chart]) });
  }
  /** The finest level of which at most `MOST` buckets lie in [a, b] (of `axis`), as {k, rows, wanted: [tile]}; or null. */
  function choose(levels, axis, a, b, coarse) {
    for (const k of Object.keys(levels).map(Number).sort((p, q) => p - q)) {
      if (k >= coarse) return null;
      const { rows } = levels[k], from = axis === 'step' ? levels[k].x : levels[k].t;
      const wanted = [];
      let inside = 0;
      for (let i = 0; i < from.length; i++) {
        const begin = from[i], next = i + 1 < from.length ? from[i + 1] : Infinity, end = next < begin ? Infinity : next;
        if (begin > b || end < a) continue;
        wanted.push(i);
        inside += Number.isFinite(end) && end > begin ? (rows * (Math.min(b, end) - Math.max(a, begin))) / (end - begin) : rows / 2;
      }
      if (wanted.length && inside <= MOST) return { k, rows, wanted };
    }
    return null;
  }
  /** Base buckets before, tiles, base buckets after, as one set of columns. */
  function splice(base, k, rows, found) {
    const c = new Data.Columns();
    c.k = 0; // mixed: lo and hi stand on their own
    c.allocate(base.size + found.reduce((n, [, block]) => n + block.len, 0));
    const push = (from, i) => {
      for (const column of ['x', 't', 'mean', 'lo', 'hi', 'xlo', 'xhi', 'n', 'bad']) c[column][c.size] = from[column][i];
      c.size++;
    };
    let done = 0, j = 0;
    for (const [i, block] of found) {
      const part = new Data.Columns();
      part.take({ ...block, from: 0 });
      const begin = i * rows * k;
      for (; j < base.size && (j + 1) * base.k <= begin; j++) if (j * base.k >= done) push(base, j);
      for (let p = 0; p < part.size; p++) push(part, p);
      done = begin + part.size * k;
    }
    for (; j < base.size; j++) if (j * base.k >= done) push(base, j);
    return c;
  }
  /** The columns to draw of series `s` for the window [a, b] in units of `axis`: the base, or finer where there is finer. */
  function columns(run, s, axis, range) {
    const base = s.data();
    if (!range || base.k === 1 || base.size < 4) return base;
    const [a, b] = axis === 'relative' ? [range[0] + run.started, range[1] + run.started] : range;
    const xs = axis === 'step' ? base.x : base.t;
    let inside = 0;
    for (let i = 0; i < base.size; i++) if (xs[i] >= a && xs[i] <= b) inside++;
    if (inside > MOST / 2) return base;
    if (served) {
      const every = everyRecord(run, s, base, xs, a, b, inside);
      if (every) return every;
    }
    askIndex(run, s);
    const index = indexes.get(name(run, s));
    if (!index || !index.levels) return base;
    const level = choose(index.levels, axis, a, b, base.k);
    if (!level) return base;
    askTiles(run, s, level.k, level.wanted);
    const found = level.wanted.map((i) => [i, tiles.get(`${name(run, s)}/${level.k}/${i}`)]).filter(([, block]) => block && typeof block === 'object');
    const before = spliced.get(name(run, s));
    if (!found.length) return before && before.range === String(range) ? before.columns : base;
    const key = `${base.rev}|${level.k}|${found.map(([i]) => i)}`;
    if (!before || before.key !== key) {
      const made = splice(base, level.k, level.rows, found);
      made.rev = base.rev;
      spliced.set(name(run, s), { key, range: String(range), columns: made });
      if (spliced.size > 64) spliced.delete(spliced.keys().next().value);
    }
    return spliced.get(name(run, s)).columns;
  }
  /** Served: the records of a narrow window themselves, read from the log; null until they are there. */
  function everyRecord(run, s, base, xs, a, b, inside) {
    if ((inside + 2) * base.k > 8 * MOST) return null;
    let x0 = Infinity, x1 = -Infinity;
    for (let i = 0; i < base.size; i++) {
      const near = (i + 1 >= base.size || xs[i + 1] >= a) && (i === 0 || xs[i - 1] <= b);
      if (near) { x0 = Math.min(x0, base.x[Math.max(0, i - 1)]); x1 = Math.max(x1, base.x[i]); }
    }
    const at = name(run, s), key = `${x0},${x1}`, known = windows.get(at);
    if (known && known.key === key) return known.columns;
    windows.set(at, { key, columns: null });
    if (windows.size > 64) windows.delete(windows.keys().next().value);
    const query = new URLSearchParams({ session: run.name, series: s.id, x0, x1, limit: 8 * MOST });
    fetch(`/api/window?${query}`).then((r) => (r.ok ? r.json() : null)).then((answer) => {
      const block = answer && (answer.block || answer), mine = windows.get(at);
      if (!block || !block.x || block.k !== 1 || !mine || mine.key !== key) return;
      mine.columns = new Data.Columns();
      mine.columns.take({ ...block, from: 0 });
      Data.emit({ run, kind: 'data', touched: new Set([s.chart]) });
    }).catch(() => { /* an older server: tiles serve as well */ });
    return null;
  }
  return { handlers, columns, choose, splice };
})();
