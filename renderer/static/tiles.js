// Zoom into a long run: the finest tiles that suit the window, and the latest records, spliced into the base by the records they
// stand for; from a server (`avaliacoes up --serve`) also every record of a narrow window.
const Tiles = (() => {
  'use strict';
  const MOST = 2000,
    KEPT = 200,
    ROWS = 1024;
  const indexes = new Map(); // series -> {generation, at: revision of the manifest, levels, asked}
  const tiles = new Map(); // "series/k/i" -> {block, len} or {asked} or {missing}, the oldest first
  const spliced = new Map(); // series -> {key, columns}
  const windows = new Map(); // series -> {key, columns}
  const served = location.protocol.startsWith('http');
  const name = (run, s) => `${run.name}/${run.generation}/${s.id}`;

  const handlers = {
    tiles(o, run) {
      const at = `${run.name}/${o.generation}/${o.id}`;
      if (o.generation === run.generation) indexes.set(at, { ...indexes.get(at), levels: o.levels });
    },
    tile(o, run) {
      if (o.generation === run.generation)
        keep(tiles, `${run.name}/${o.generation}/${o.id}/${o.k}/${o.i}`, { block: o.block, len: o.block.len }, KEPT);
    },
  };
  function keep(map, key, value, most) {
    map.delete(key);
    map.set(key, value);
    if (map.size > most) map.delete(map.keys().next().value);
  }
  const changed = (run, s) => Data.emit({ run, kind: 'data', touched: new Set([s.chart]) });
  async function askIndex(run, s) {
    const at = name(run, s),
      known = indexes.get(at),
      revision = run.manifest ? run.manifest.tiles : 0;
    if (!revision || (known && (known.asked || known.at === revision))) return;
    keep(indexes, at, { levels: null, ...known, asked: true, at: revision }, 500);
    await Data.fresh(`${run.dir}/tiles/${s.id}.js`);
    if (indexes.has(at)) indexes.get(at).asked = false;
    changed(run, s);
  }
  async function askTiles(run, s, level) {
    const at = (i) => `${name(run, s)}/${level.k}/${i}`;
    const missing = level.wanted.filter((i) => {
      const t = tiles.get(at(i));
      return !t || (t.block && t.len !== level.size(i) && !t.again);
    });
    if (!missing.length) return;
    for (const i of missing) {
      const t = tiles.get(at(i));
      keep(tiles, at(i), t ? { ...t, again: true } : { asked: true }, KEPT);
    }
    await Promise.all(missing.map((i) => Data.fresh(`${run.dir}/tiles/${s.id}-${level.k}-${i}.js`)));
    for (const i of missing) if ((tiles.get(at(i)) || {}).asked) keep(tiles, at(i), { missing: true }, KEPT);
    changed(run, s);
  }
  async function askRecent(run) {
    const revision = run.manifest ? run.manifest.recent : 0;
    if (!revision || run.recentAsked === `${run.generation}/${revision}`) return;
    run.recentAsked = `${run.generation}/${revision}`;
    await Data.fresh(`${run.dir}/recent.js`);
  }
  /** The finest level of which at most `MOST` buckets lie in [a, b] of `axis`: {k, wanted: [tile], size(i)}; or null. */
  function choose(levels, axis, a, b, base) {
    for (const k of Object.keys(levels)
      .map(Number)
      .sort((p, q) => p - q)) {
      if (k >= base.k) return null;
      const level = levels[k],
        from = axis === 'step' ? level.x : level.t,
        size = (i) => (i === from.length - 1 ? level.last : ROWS);
      const last = Math.min(base.size - 1, Math.floor(((from.length - 1) * ROWS + level.last) * (k / base.k))),
        stop = (axis === 'step' ? base.x : base.t)[last];
      const wanted = [];
      let inside = 0;
      for (let i = 0; i < from.length; i++) {
        const begin = from[i],
          next = i + 1 < from.length ? from[i + 1] : stop,
          end = next < begin ? Infinity : next;
        if (begin > b || end < a) continue;
        wanted.push(i);
        inside += Number.isFinite(end) && end > begin ? (size(i) * (Math.min(b, end) - Math.max(a, begin))) / (end - begin) : size(i) / 2;
      }
      if (wanted.length && inside <= MOST) return { k, wanted, size };
    }
    return null;
  }
  const COLUMNS = ['x', 't', 'mean', 'lo', 'hi', 'xlo', 'xhi', 'n', 'bad'];
  /** Base buckets, and in their stead finer `parts` [{begin, k, columns}] (in the order of their records) where there are such. */
  function splice(base, parts) {
    const c = new Data.Columns();
    c.k = 0; // mixed: lo and hi stand on their own
    c.allocate(base.size + parts.reduce((n, part) => n + part.columns.size, 0) + 1);
    const push = (from, i) => {
      for (const column of COLUMNS) c[column][c.size] = from[column][i];
      c.size++;
    };
    let done = 0,
      j = 0;
    parts.forEach((part, at) => {
      const end = at + 1 < parts.length ? parts[at + 1].begin : Infinity;
      for (; j < base.size && j * base.k < part.begin; j++) {
        if ((j + 1) * base.k <= done) continue;
        push(base, j);
        // A bucket that reaches into the part keeps its extremes, but must not seem to lie after the part's first record.
        if ((j + 1) * base.k > part.begin && part.columns.size) {
          c.x[c.size - 1] = part.columns.x[0];
          c.t[c.size - 1] = part.columns.t[0];
        }
      }
      for (let p = 0; p < part.columns.size && part.begin + (p + 1) * part.k <= end; p++) {
        if (part.begin + p * part.k < done) continue;
        push(part.columns, p);
        done = part.begin + (p + 1) * part.k;
      }
    });
    for (; j < base.size; j++) if ((j + 1) * base.k > done) push(base, j);
    return c;
  }
  function decoded(block) {
    const c = new Data.Columns();
    c.take({ ...block, from: 0 });
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
    const parts = [];
    let key = '';
    askIndex(run, s);
    const index = indexes.get(name(run, s)),
      level = index && index.levels && choose(index.levels, axis, a, b, base);
    if (level) {
      askTiles(run, s, level);
      for (const i of level.wanted) {
        const tile = tiles.get(`${name(run, s)}/${level.k}/${i}`);
        if (tile && tile.block) {
          parts.push({ begin: i * ROWS * level.k, k: level.k, block: tile.block });
          key += `${level.k}/${i}/${tile.len},`;
        }
      }
    }
    if (b >= xs[Math.max(0, base.size - 2 - Math.ceil(ROWS / base.k))]) {
      askRecent(run);
      const recent = run.recent.get(s.id);
      if (recent) {
        parts.push({ begin: recent.from, k: 1, block: recent });
        key += `recent ${run.recentAt}`;
      }
    }
    const at = name(run, s),
      before = spliced.get(at);
    if (!parts.length) return before && before.range === String(range) ? before.columns : base;
    key += `|${base.rev}`;
    if (!before || before.key !== key) {
      for (const part of parts) part.columns = decoded(part.block);
      const made = splice(base, parts);
      made.rev = base.rev;
      keep(spliced, at, { key, range: String(range), columns: made }, 64);
    }
    return spliced.get(at).columns;
  }
  /** Served: the records of a narrow window themselves, read from the log; null until they are there. */
  function everyRecord(run, s, base, xs, a, b, inside) {
    if ((inside + 2) * base.k > 8 * MOST) return null;
    let x0 = Infinity,
      x1 = -Infinity;
    for (let i = 0; i < base.size; i++) {
      const near = (i + 1 >= base.size || xs[i + 1] >= a) && (i === 0 || xs[i - 1] <= b);
      if (near) {
        x0 = Math.min(x0, base.x[Math.max(0, i - 1)]);
        x1 = Math.max(x1, base.x[i]);
      }
    }
    const at = name(run, s),
      key = `${x0},${x1}`,
      known = windows.get(at);
    if (known && known.key === key) return known.columns;
    keep(windows, at, { key, columns: null }, 64);
    const query = new URLSearchParams({ session: run.name, series: s.id, x0, x1, limit: 8 * MOST });
    fetch(`/api/window?${query}`)
      .then((r) => (r.ok ? r.json() : null))
      .then((answer) => {
        const block = answer && (answer.block || answer),
          mine = windows.get(at);
        if (!block || !block.x || block.k !== 1 || !mine || mine.key !== key) return;
        mine.columns = decoded(block);
        changed(run, s);
      })
      .catch(() => {
        /* an older server: tiles serve as well */
      });
    return null;
  }
  return { handlers, columns, choose, splice };
})();
