// Charts on the page: their elements, the queue that paints those in sight one a task, and what a reader does with one.
const Charts = (() => {
  'use strict';
  const { make, button, say, tell, choice, chooseIn } = Kit;
  const CONFIG = {
    displayModeBar: false,
    displaylogo: false,
    showSendToCloud: false,
    plotlyServerURL: '',
    doubleClick: false,
    showTips: false,
    scrollZoom: false,
    responsive: false,
  };
  const touch = matchMedia('(pointer: coarse)').matches;
  document.documentElement.classList.toggle('touch', touch);
  const MOST_DRAWN = 48;
  /** After so long the page draws no further chart before the browser has had a frame. */
  const FRAME_MS = 8;
  const charts = new Map(); // id -> Chart
  const inSight = new Set(),
    dirty = new Set();
  const settings = { env: () => ({}), ready: false };
  let painting = false,
    ticket = 0;

  const eye = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        const chart = charts.get(target.dataset.chart);
        if (!chart) continue;
        if (isIntersecting) {
          inSight.add(chart);
          if (chart.stale) dirty.add(chart);
        } else inSight.delete(chart);
      }
      paint();
    },
    { rootMargin: '120px 0px' },
  );
  const sizes = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const chart = charts.get(target.closest('.chart').dataset.chart);
      if (chart && chart.width && (chart.width !== target.clientWidth || chart.height !== target.clientHeight)) mark(chart);
    }
    paint();
  });

  class Chart {
    constructor(spec) {
      this.spec = spec;
      this.id = spec.id;
      this.stale = true;
      this.drawn = 0;
      this.held = false;
      this.near = false;
      this.behind = false;
      this.figure = null;
      this.hidden = new Set(choice('hidden', {})[spec.id] || []);
      this.log = choice('log', {})[spec.id] ?? !!spec.log;
      const title = spec.title;
      this.name = make('h3', 'name', title);
      this.name.title = title;
      this.value = make('output', 'value');
      this.chips = make('div', 'chips');
      this.logButton = button('tool', 'log', `Logarithmic y axis: ${title}`, () => this.setLog(!this.log));
      this.tableButton = button('tool', 'table', `Show as table: ${title}`, () => this.setTable(!this.table));
      this.csvButton = button('tool', 'csv', `Save what is seen as CSV: ${title}`, () =>
        Kit.download(`${spec.id.replace(/[^\w.-]+/g, '_').slice(0, 80)}.csv`, Readout.csv(this), 'text/csv'),
      );
      this.plot = make('div', `plot ${spec.small ? 'small' : ''}`);
      this.canvas = make('canvas', 'curves');
      this.canvas.setAttribute('aria-hidden', 'true');
      this.area = make('div', 'area', this.canvas, this.plot);
      this.cross = make('div', 'cross');
      this.area.append(this.cross);
      this.note = make('p', 'note');
      this.root = make(
        'figure',
        `chart ${spec.small ? 'small' : ''}`,
        make('figcaption', '', this.name, this.value, make('span', 'tools', this.logButton, this.tableButton, this.csvButton)),
        this.chips,
        this.area,
        this.note,
      );
      this.root.dataset.chart = spec.id;
      this.root.tabIndex = 0;
      this.root.setAttribute('role', 'group');
      this.root.setAttribute('aria-label', title);
      this.logButton.setAttribute('aria-pressed', this.log);
      this.tableButton.setAttribute('aria-pressed', 'false');
      charts.set(spec.id, this);
      eye.observe(this.root);
      sizes.observe(this.plot);
      this.area.addEventListener('pointermove', (e) => Readout.over(this, e));
      this.area.addEventListener('pointerenter', () => this.used(true));
      this.area.addEventListener('pointerleave', () => {
        this.used(false);
        Readout.leave();
      });
      this.area.addEventListener('pointerdown', (e) => {
        this.used(true);
        this.held = e.pointerType !== 'touch';
        if (!this.held) Readout.over(this, e);
      });
      Pinch.on(this);
      this.area.addEventListener('dblclick', () => View.look(null));
    }
    setLog(on) {
      this.log = on;
      chooseIn('log', this.id, on === !!this.spec.log ? undefined : on);
      tell(this.logButton, 'aria-pressed', String(on));
      mark(this);
      paint();
    }
    setTable(on) {
      this.table = on;
      tell(this.tableButton, 'aria-pressed', String(on));
      this.root.classList.toggle('tabled', on);
      if (!on && this.sheet) {
        this.sheet.remove();
        this.sheet = null;
      }
      mark(this);
      paint();
    }
    toggle(key) {
      if (this.hidden.has(key)) this.hidden.delete(key);
      else this.hidden.add(key);
      chooseIn('hidden', this.id, this.hidden.size ? [...this.hidden] : undefined);
      mark(this);
      paint();
    }
    remove() {
      eye.unobserve(this.root);
      sizes.unobserve(this.plot);
      charts.delete(this.id);
      inSight.delete(this);
      dirty.delete(this);
      this.forget();
      this.root.remove();
    }
    /** Give back what Plotly holds; the next time it is in sight it is drawn anew. */
    forget() {
      if (this.drawn && window.Plotly) window.Plotly.purge(this.plot);
      Canvas.forget(this.canvas);
      this.drawn = 0;
      this.stale = true;
    }
    draw() {
      const env = settings.env(this),
        width = this.table ? this.area.clientWidth : this.plot.clientWidth,
        height = this.table ? 200 : this.plot.clientHeight;
      if (width < 40 || height < 30) return;
      this.stale = false;
      const f = (this.figure = Figure.build(this.spec, env, width, height));
      this.width = width;
      this.height = height;
      this.legend(f);
      const last = Readout.last(this);
      say(this.value, last + (f.said ? ` · ${f.said}` : ''));
      const notes = [];
      if (f.outside) notes.push(`${Kit.many(f.outside, 'point')} outside`);
      if (f.ylog && f.below) notes.push(`${Kit.count(f.below)} not above 0, not on a log axis`);
      if (this.log && !f.ylog && f.curves.length) notes.push('nothing above 0 for a log axis');
      if (f.left > 0) notes.push(`${Kit.many(f.left, 'more curve')} not drawn`);
      say(this.note, notes.join(' · '));
      const nothing = f.curves.every((c) => !c.groups);
      this.root.classList.toggle('nothing', nothing);
      tell(
        this.root,
        'aria-label',
        `${this.spec.title}, ${last ? `last ${last}` : 'no data'}${f.said ? `, ${f.said}` : ''}, ${Kit.many(f.curves.length, 'curve')}, ${View.words(f.range[0])} to ${View.words(f.range[1])}`,
      );
      if (this.table) {
        const sheet = Readout.sheet(this);
        if (this.sheet) this.sheet.replaceWith(sheet);
        else this.area.append(sheet);
        this.sheet = sheet;
      }
      if (!window.Plotly || this.table) return;
      this.hand();
      this.ink();
      if (!this.drawn) {
        this.plot.on('plotly_relayouting', () => this.ink(false));
        this.plot.on('plotly_relayout', (change) => this.zoomed(change));
        this.plot.on('plotly_doubleclick', () => View.look(null));
      }
      this.drawn = ++ticket;
      document.documentElement.dataset.painted = ticket;
      Readout.redraw(this);
    }
    /** Hand the figure to Plotly; where that has nothing to show but its frame, only when the pointer comes, for the zoom. */
    hand() {
      const { traces, layout } = this.figure,
        frame = traces.length ? null : `${layout.width} ${layout.height} ${layout.xaxis.linecolor}`;
      this.behind = this.drawn > 0 && frame !== null && frame === this.frame && !this.near;
      this.frame = frame;
      if (!this.behind) window.Plotly.react(this.plot, traces, layout, CONFIG);
    }
    used(near) {
      this.near = near;
      if (near && this.behind) this.hand();
    }
    /** Draw what is ours in the range that Plotly shows, or would; while an axis is dragged only where that has moved. */
    ink(anew = true) {
      const { range } = (this.behind ? this.figure.layout : this.plot._fullLayout).xaxis;
      if (!anew && String(range) === this.inked) return;
      this.inked = String(range);
      Canvas.paint(this.canvas, this.figure, range);
    }
    zoomed(change) {
      this.ink();
      let a = change['xaxis.range[0]'] ?? (change['xaxis.range'] || [])[0],
        b = change['xaxis.range[1]'] ?? (change['xaxis.range'] || [])[1];
      if (!Number.isFinite(a) || !Number.isFinite(b)) return;
      if (this.figure.logx) {
        a = 10 ** a;
        b = 10 ** b;
      }
      View.look([a, b]);
    }
    /** Chips for more than one curve: press to hide or show. A single curve needs no legend. */
    legend(f) {
      const key = f.every.map((c) => `${c.key}|${c.tone}|${this.hidden.has(c.key)}`).join() + f.bands.map((g) => g.key + g.tone).join();
      if (key === this.legendKey) return;
      this.legendKey = key;
      const chip = (c) => {
        const b = button('chip', '', `Hide or show ${Kit.cut(c.name, 120)}`, () => this.toggle(c.key));
        const swatch = make('span', 'swatch');
        swatch.style.setProperty('--swatch', c.tone);
        b.append(swatch, make('span', 'word', Kit.cut(c.name, 60)));
        b.setAttribute('aria-pressed', String(!this.hidden.has(c.key)));
        return b;
      };
      const many = f.every.length > 1 && f.every.length > new Set(f.every.map((c) => c.run)).size;
      this.chips.replaceChildren(...(many ? f.every.slice(0, 40).map(chip) : []));
    }
  }

  function mark(chart) {
    chart.stale = true;
    if (inSight.has(chart)) dirty.add(chart);
  }
  function markAll(test) {
    for (const chart of charts.values()) if (!test || test(chart)) mark(chart);
  }
  /**
   * Paint what is stale and in sight, a chart a task: what is drawn on a canvas is rastered when the task ends, so its cost cannot be
   * seen from within, and input never waits for more than one drawing. After a few charts the browser has a frame.
   */
  async function paint() {
    if (painting || !settings.ready || document.hidden) return;
    painting = true;
    try {
      while (dirty.size && !document.hidden) {
        const batch = [...dirty].filter((chart) => inSight.has(chart) && !chart.held);
        dirty.clear();
        if (!batch.length) break;
        const before = extentKey();
        for (const chart of batch) {
          // decode first: all charts then share one range
          if (Figure.curves(chart.spec, settings.env(chart).runs).some((c) => c.series.waiting.length && c.series.data()))
            await Kit.turn();
        }
        let begun = performance.now();
        if (extentKey() !== before && !View.state.range)
          for (const chart of inSight) if (!batch.includes(chart) && !chart.held) batch.push(chart);
        for (const chart of batch) {
          if (!charts.has(chart.id) || !inSight.has(chart)) {
            chart.stale = true;
            continue;
          }
          if (chart.held) {
            chart.stale = true;
            continue;
          }
          try {
            chart.draw();
          } catch (error) {
            console.error(error);
          }
          if (performance.now() - begun < FRAME_MS) await Kit.turn();
          else {
            await Kit.breathe();
            begun = performance.now();
          }
        }
        await Kit.breathe();
        spare();
      }
    } finally {
      painting = false;
    }
  }
  const extentKey = () => View.extent(settings.env().runs || []).join();
  function spare() {
    const drawn = [...charts.values()].filter((c) => c.drawn && !inSight.has(c));
    if (drawn.length <= MOST_DRAWN) return;
    drawn
      .sort((p, q) => p.drawn - q.drawn)
      .slice(0, drawn.length - MOST_DRAWN)
      .forEach((c) => c.forget());
  }
  /** A drag is never painted over; what came meanwhile is painted when it ends. */
  function released() {
    for (const chart of charts.values())
      if (chart.held) {
        chart.held = false;
        if (chart.stale && inSight.has(chart)) dirty.add(chart);
      }
    setTimeout(paint, 0);
  }
  addEventListener('pointerup', released, true);
  addEventListener('pointercancel', released, true);
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) {
      for (const c of inSight) if (c.stale) dirty.add(c);
      paint();
    }
  });
  View.listeners.add(() => {
    Readout.leave();
    markAll();
    paint();
  });
  /** A page that comes to a screen of other pixels is drawn in those. */
  function sharpen() {
    matchMedia(`(resolution: ${devicePixelRatio}dppx)`).addEventListener(
      'change',
      () => {
        markAll();
        paint();
        sharpen();
      },
      { once: true },
    );
  }
  sharpen();
  Kit.themes.add(() => {
    for (const c of charts.values()) c.legendKey = '';
    markAll();
    paint();
  });
  return { Chart, charts, inSight, mark, markAll, paint, settings, touch };
})();
