// The data of runs: blocks of buckets as the renderer writes them, decoded when they are first looked at, and the loading of
// its scripts, the one way to read files from a page that was opened from disk. `docs/decisions/0008-page-files.md` has the format.
const Data = (() => {
  'use strict';
  const { page, now } = Kit;
  const { Columns } = Blocks;
  const runs = new Map();
  const listeners = new Set();
  const listing = { runs: null, written: 0, refresh: page.refresh };

  class Series {
    constructor(run, info) {
      this.run = run;
      Object.assign(this, {
        id: info.id,
        category: String(info.category),
        metric: String(info.metric),
        component: String(info.component || ''),
        producer: String(info.producer || ''),
        child: !!info.child,
        group: String(info.group || info.category),
      });
      this.chart = `${this.category}/${this.metric}`;
      this.waiting = [];
      this.columns = new Columns();
      this.rev = 0;
    }
    take(block) {
      if (block.from === 0) this.waiting = [];
      this.waiting.push(block);
      this.rev++;
      if (this.waiting.length > 200) this.data();
    }
    /** The columns, up to date. Decoding happens here: a series that nobody looks at costs nothing. */
    data() {
      for (const block of this.waiting)
        if (!this.columns.take(block)) {
          this.run.broken = true;
          break;
        }
      if (this.waiting.length) {
        this.waiting = [];
        this.run.extend(this.columns);
      }
      return this.columns;
    }
    stat() {
      return this.run.stats.get(this.id);
    }
  }

  class Run {
    constructor(name) {
      Object.assign(this, {
        name,
        manifest: null,
        at: -1,
        series: new Map(),
        stats: new Map(),
        texts: {},
        alerts: null,
        alertsAt: 0,
        broken: false,
        busy: false,
        generation: null,
        recent: new Map(),
        recentAt: 0,
        extent: null,
        inline: false,
        missing: 0,
        shape: 0,
      });
    }
    get dir() {
      return `${page.live}${encodeURIComponent(this.name)}`;
    }
    get wanted() {
      return this.manifest ? this.manifest.generation : null;
    }
    get started() {
      return (this.manifest && this.manifest.state.started) || (this.extent ? this.extent.t0 : 0);
    }
    get active() {
      return !!(this.manifest && this.manifest.state.active);
    }
    /** Series by chart, the newest state of it. */
    get byChart() {
      if (this.chartsAt !== this.shape) {
        this.chartsAt = this.shape;
        this.charts = new Map();
        for (const s of this.series.values()) {
          if (!this.charts.has(s.chart)) this.charts.set(s.chart, []);
          this.charts.get(s.chart).push(s);
        }
      }
      return this.charts;
    }
    extend(c) {
      const e = this.extent || (this.extent = { x0: Infinity, x1: -Infinity, t0: Infinity, t1: -Infinity });
      for (let i = 0; i < c.size; i++) {
        if (c.x[i] < e.x0) e.x0 = c.x[i];
        if (c.x[i] > e.x1) e.x1 = c.x[i];
        if (c.t[i] < e.t0) e.t0 = c.t[i];
        if (c.t[i] > e.t1) e.t1 = c.t[i];
      }
    }
    add(infos) {
      for (const info of infos || []) {
        const known = this.series.get(info.id);
        if (known) known.group = String(info.group || info.category);
        else this.series.set(info.id, new Series(this, info));
        this.shape++;
      }
    }
    note(object, touched) {
      this.add(object.series);
      for (const block of object.blocks) {
        const s = this.series.get(block.id);
        if (s) {
          s.take(block);
          touched.add(s.chart);
        }
      }
      for (const [id, stat] of Object.entries(object.stats || {})) this.stats.set(Number(id), stat);
      Object.assign(this.texts, object.texts || {});
      this.at = object.n;
    }
  }
  function run(name) {
    if (!runs.has(name)) runs.set(name, new Run(name));
    return runs.get(name);
  }

  // ---- what the scripts say
  const handlers = {
    manifest(o, r) {
      r.manifest = o;
      r.missing = 0;
      emit({ run: r, kind: 'manifest' });
    },
    base(o, r) {
      if (o.generation !== r.wanted) return;
      if (r.generation !== o.generation)
        Object.assign(r, { generation: o.generation, alerts: null, alertsAt: 0, recent: new Map(), recentAt: 0 });
      const touched = new Set([...r.series.values()].map((s) => s.chart));
      r.series = new Map();
      r.stats = new Map();
      r.texts = {};
      r.extent = null;
      r.broken = false;
      r.shape++;
      r.note(o, touched);
      emit({ run: r, kind: 'data', touched });
    },
    segment(o, r) {
      if (o.generation !== r.generation || o.n !== r.at + 1) return;
      const touched = new Set();
      r.note(o, touched);
      emit({ run: r, kind: 'data', touched });
    },
    recent(o, r) {
      if (o.generation !== r.generation) return;
      r.recent = new Map(o.blocks.map((block) => [block.id, block]));
      r.recentAt = o.r;
      emit({ run: r, kind: 'data', touched: new Set(o.blocks.map((block) => (r.series.get(block.id) || {}).chart)) });
    },
    alerts(o, r) {
      if (o.generation !== r.generation) return;
      r.alerts = o;
      r.alertsAt = o.r;
      emit({ run: r, kind: 'alerts' });
    },
    runs(o) {
      listing.runs = o.runs;
      listing.written = o.written;
      listing.refresh = o.refresh || listing.refresh;
      emit({ kind: 'runs' });
    },
  };
  window.avaliacoes = (object) => {
    const handle = handlers[object.kind] || Tiles.handlers[object.kind];
    if (!handle) return;
    if (object.kind === 'runs') handle(object);
    else if (runs.has(object.session)) handle(object, runs.get(object.session));
  };
  const emit = (event) => listeners.forEach((f) => f(event));

  // ---- loading
  function load(source) {
    return new Promise((done) => {
      const script = document.createElement('script');
      script.async = false; // scripts put in together run in that order
      script.src = source;
      script.onload = () => {
        script.remove();
        done(true);
      };
      script.onerror = () => {
        script.remove();
        done(false);
      };
      document.head.append(script);
    });
  }
  const fresh = (source) => load(`${source}?t=${Date.now()}`);
  /** What is written once: in a generation its name never means anything else, so it may be kept under both. */
  const part = (r, name) => load(`${r.dir}/${name}?g=${encodeURIComponent(r.wanted)}`);
  const AT_ONCE = 16,
    TOO_MANY = 120;

  /** Bring one run up to date: the manifest, then the base where the segments do not reach back, then what follows. */
  async function follow(r) {
    if (r.busy) return;
    r.busy = true;
    try {
      if (!(await fresh(`${r.dir}/manifest.js`))) {
        r.missing++;
        emit({ run: r, kind: 'manifest' });
        return;
      }
      const m = r.manifest;
      if (!m) return;
      const behind = m.last - r.at;
      const far =
        r.at < 0 ||
        behind < 0 ||
        r.generation !== m.generation ||
        r.broken ||
        (behind > 0 && r.at < m.oldest) ||
        (behind > TOO_MANY && m.base > r.at);
      if (far) {
        r.at = -1;
        if (!(await part(r, `base-${m.base}.js`)) || r.at < 0) {
          r.at = -1;
          return;
        }
      }
      while (r.at < m.last) {
        const before = r.at,
          upto = Math.min(m.last, before + AT_ONCE);
        const loads = [];
        for (let n = before + 1; n <= upto; n++) loads.push(part(r, `segment-${n}.js`));
        await Promise.all(loads);
        if (r.at < upto) {
          r.broken = r.at === before;
          break;
        }
      }
      if (m.alerts && m.alerts !== r.alertsAt) await part(r, `alerts-${m.alerts}.js`);
    } finally {
      r.busy = false;
    }
  }
  const followRuns = () => fresh(`${page.live}runs.js`);
  /** Seconds since the renderer last wrote, when that is longer than it should be; else 0. */
  function overdue(written, refresh) {
    const age = now() - written;
    return age > 3 * (refresh || 1) + 5 ? age : 0;
  }
  if (Array.isArray(page.inside)) {
    for (const object of page.inside) {
      const r = run(object.session || page.session);
      r.inline = true;
      (handlers[object.kind] || (() => {}))(object, r);
    }
  }
  return { runs, run, listing, listeners, emit, load, fresh, follow, followRuns, overdue, Columns };
})();
