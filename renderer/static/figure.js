// One chart as lines, Plotly's traces and its layout. Reads the data and the view, draws nothing; what a reader sees is decided here.
const Figure = (() => {
  'use strict';
  const { css, percent } = Kit;
  const MARGIN = { l: 52, r: 14, t: 8, b: 22 };
  const MOST_CURVES = 16;
  /** Points of a chart, all curves together: a group of records is two, and one of its mean. It keeps a drawing well under 50 ms. */
  const POINTS = 2400;
  const LARGEST = 5e307;
  const DASHES = ['solid', 'dash', 'dot', 'dashdot'];

  /** The curves of a chart: one per series shown, the run's own first; parts and child processes accompany it, thinner. */
  function curves(spec, runs) {
    const found = [],
      single = runs.length === 1;
    for (const run of runs) {
      const all = [];
      spec.keys.forEach((key, order) => {
        for (const s of run.byChart.get(key) || []) all.push([order, s]);
      });
      const lead = ([, s]) => !s.component && !s.child;
      const mains = all.filter(lead),
        rest = single || !mains.length ? all.filter((x) => !lead(x)) : [];
      const orders = [...new Set(all.map(([order]) => order))];
      [...mains, ...rest].forEach(([order, s], i) => {
        const main = lead([order, s]),
          many = orders.length > 1;
        const parts = [
          many || (single && !s.component) ? s.metric : '',
          s.component,
          s.child ? `child ${s.producer.slice(-4)}` : '',
        ].filter(Boolean);
        const name = single ? parts.join(' · ') : [run.name, ...(many || s.component ? parts : [])].join(' · ');
        const key = single ? `${s.chart}/${s.component}/${s.child ? s.producer : ''}` : `${run.name}/${s.chart}/${s.component}`;
        const tone = single ? (i === 0 ? Kit.colour(run.name) : other(Kit.colour(run.name), i)) : Kit.colour(run.name);
        found.push({
          run,
          series: s,
          key,
          name,
          tone,
          faint: !main && mains.length > 0,
          dash: single ? 'solid' : DASHES[orders.indexOf(order) % DASHES.length],
          /** Its groups as objects; made for those who ask. */
          get cells() {
            if (!this.made) this.made = Smooth.cells(this.facts);
            return this.made;
          },
        });
      });
    }
    return found;
  }
  /** Values near the end of what a double holds are drawn a little nearer: the difference of two must be a number. */
  function bound(values) {
    for (let i = 0; i < values.length; i++) if (Math.abs(values[i]) > LARGEST) values[i] = Math.sign(values[i]) * LARGEST;
  }
  const uids = new Map();
  /** A trace's identity as Plotly wants it: it goes into selectors, so names do not. */
  function uid(key) {
    if (!uids.has(key)) uids.set(key, `t${uids.size}`);
    return uids.get(key);
  }
  /** The i-th colour that is not `taken`. */
  function other(taken, i) {
    const rest = [];
    for (let n = 0; n < 8; n++) if (Kit.nth(n) !== taken) rest.push(Kit.nth(n));
    return rest[(i - 1) % rest.length];
  }

  /** Everything to draw a chart `width` x `height`: Plotly's traces and layout; what our canvas has; curves with their cells; and what to say. */
  function build(spec, env, width, height) {
    const { runs, how, log, outliers, hidden, groupOf, alerts } = env;
    const [a, b] = View.span(runs),
      logx = View.logarithmic();
    const every = curves(spec, runs),
      shown = every.filter((c) => !hidden.has(c.key)).slice(0, MOST_CURVES);
    const most = Math.max(
      80,
      Math.min(spec.small ? 300 : 460, Math.round((width - MARGIN.l) * 0.9), Math.round(POINTS / 3 / Math.max(1, shown.length))),
    );
    for (const c of shown) {
      c.columns = Tiles.columns(c.run, c.series, View.state.axis, View.state.range);
      const smoothed = Smooth.smooth(c.columns, how);
      Object.assign(c, Smooth.points(c.columns, smoothed, View.place(c.columns, c.run), a, b, most), { smoothed });
      bound(c.ry);
      bound(c.sy);
    }
    const grouped = groupOf ? band(shown, groupOf, a, b, logx) : [];
    const fit = extremes(shown, grouped, a, b, log, outliers, spec.percent);
    const ylog = fit.log,
      [y0, y1] = fit.range;
    const lone = grouped.length ? shown.filter((c) => !c.inBand) : shown;
    const order = [...lone].sort((p, q) => q.faint - p.faint),
      { lines, said } = Lines.of(spec, env, order, a, b, most),
      shares = Lines.share(lines),
      traces = shares.plotly.map(Lines.trace);
    for (const g of grouped) {
      traces.push(
        { uid: `${g.key}/low`, x: g.grid, y: g.low, type: 'scatter', mode: 'lines', line: { width: 0 }, hoverinfo: 'skip' },
        {
          uid: `${g.key}/high`,
          x: g.grid,
          y: g.high,
          type: 'scatter',
          mode: 'lines',
          line: { width: 0 },
          fill: 'tonexty',
          fillcolor: tint(g.tone, 0.18),
          hoverinfo: 'skip',
        },
        {
          uid: `${g.key}/mean`,
          x: g.grid,
          y: g.mean,
          type: 'scatter',
          mode: 'lines',
          line: { color: g.tone, width: 2.2 },
          hoverinfo: 'skip',
        },
      );
    }
    const level = (share) => (ylog ? 10 ** (y0 + (y1 - y0) * share) : y0 + (y1 - y0) * share);
    Marks.bad(shown, a, b, level, runs.length === 1, traces);
    const shapes = [],
      notes = [];
    const marks = Marks.alerts(spec, alerts, a, b, level, shapes, traces);
    Marks.limits(spec, env, y0, y1, ylog, shapes, notes);
    Marks.resumed(shown, a, b, shapes);
    const { focus } = View.state;
    if (focus)
      shapes.push({
        type: 'rect',
        xref: 'x',
        x0: focus.x0,
        x1: focus.x1,
        yref: 'paper',
        y0: 0,
        y1: 1,
        fillcolor: css(`--${focus.level.toLowerCase()}`),
        opacity: 0.09,
      });
    for (const t of traces) t.uid = uid(t.uid);
    const axis = {
      linecolor: css('--line'),
      showgrid: false,
      zeroline: false,
      showticklabels: false,
      ticks: '',
      tickmode: 'array',
      tickvals: [],
      automargin: false,
    };
    const about = Math.max(2, Math.round((width - MARGIN.l) / 84)),
      rows = Math.max(2, Math.round((height - 30) / (height < 130 ? 22 : 38)));
    const yticks = ylog ? View.decades(10 ** y0, 10 ** y1, rows) : View.nice(y0, y1, rows);
    const layout = {
      width,
      height,
      margin: MARGIN,
      showlegend: false,
      hovermode: false,
      paper_bgcolor: 'rgba(0,0,0,0)',
      plot_bgcolor: 'rgba(0,0,0,0)',
      dragmode: env.touch ? false : 'zoom',
      uirevision: 'kept',
      font: { family: getComputedStyle(document.body).fontFamily, size: 11, color: css('--soft') },
      xaxis: {
        ...axis,
        type: logx ? 'log' : 'linear',
        range: logx ? [Math.log10(a), Math.log10(b)] : [a, b],
        uirevision: View.state.rev,
      },
      yaxis: {
        ...axis,
        type: ylog ? 'log' : 'linear',
        range: [y0, y1],
        fixedrange: true,
        uirevision: View.state.rev,
      },
    };
    return {
      traces,
      own: shares.own,
      shapes,
      notes,
      ticks: {
        x: View.ticks(a, b, about),
        y: { tickvals: yticks, ticktext: yticks.map((v) => (spec.percent ? percent(v) : View.steps(v))) },
      },
      layout,
      every,
      curves: shown,
      bands: grouped,
      outside: fit.outside,
      below: fit.below,
      range: [a, b],
      y: [y0, y1],
      ylog,
      logx,
      marks,
      said,
      left: every.length - hidden.size - MOST_CURVES,
    };
  }
  function tint(colour, share) {
    const n = parseInt(colour.slice(1), 16);
    return colour[0] === '#' && colour.length === 7 ? `rgba(${n >> 16},${(n >> 8) & 255},${n & 255},${share})` : colour;
  }
  /** Room to gather values in, kept. */
  let gathered = new Float64Array(0);
  /** The y range that fits what is in the window: [low, high] (log10 where log), and how many points are left outside. */
  function extremes(shown, bands, a, b, wantLog, outliers, percent) {
    const most = shown.reduce((sum, c) => sum + c.ry.length + c.sy.length, 0) + bands.reduce((sum, g) => sum + 2 * g.grid.length, 0);
    if (gathered.length < most) gathered = new Float64Array(2 * most);
    const all = gathered;
    let found = 0,
      below = 0;
    const take = (xs, ys, from, to) => {
      for (let i = 0; i < ys.length; i++) if (Number.isFinite(ys[i]) && xs[i] >= from && xs[i] <= to) all[found++] = ys[i];
    };
    for (const c of shown) {
      if (!(c.faint && c.smoothed)) take(c.rx, c.ry, a, b);
      if (c.smoothed) take(c.sx, c.sy, a, b);
    }
    for (const g of bands) {
      take(g.grid, g.low, a, b);
      take(g.grid, g.high, a, b);
    }
    if (!found) for (const c of shown) take(c.rx, c.ry, -Infinity, Infinity);
    let use = all.subarray(0, found);
    const positive = wantLog ? use.filter((v) => v > 0) : use;
    const log = wantLog && positive.length > 0;
    if (log) {
      below = found - positive.length;
      use = positive.map(Math.log10);
    }
    let low = Infinity,
      high = -Infinity,
      outside = 0;
    for (let i = 0; i < use.length; i++) {
      if (use[i] < low) low = use[i];
      if (use[i] > high) high = use[i];
    }
    if (outliers && use.length >= 20) {
      const sorted = Float64Array.from(use).sort(),
        p = Smooth.percentile(sorted, 0.02),
        q = Smooth.percentile(sorted, 0.98),
        room = (q - p) * 0.25 || Math.abs(p) * 0.05 || 1;
      const [l, h] = [Math.max(low, p - room), Math.min(high, q + room)];
      for (const c of shown)
        for (let i = 0; i < c.ry.length; i++) {
          const v = log ? Math.log10(c.ry[i]) : c.ry[i];
          if (c.rx[i] >= a && c.rx[i] <= b && (v < l || v > h)) outside++;
        }
      low = l;
      high = h;
    }
    if (!(high >= low)) return { range: [0, 1], log: false, outside, below };
    if (percent && !log && low >= 0 && high <= 1)
      return { range: [-0.02 * (high || 1), high ? high * 1.06 : 1], log: false, outside, below };
    const room = (high - low) * 0.06 || (log ? 0.5 : Math.abs(high) * 0.1 || 0.5);
    return { range: [low - room, high + room], log, outside, below };
  }
  /** Runs of one group as mean and band; groups of one stay curves. */
  function band(shown, groupOf, a, b, logx) {
    const groups = new Map();
    for (const c of shown) {
      const key = `${groupOf(c.run.name)}\n${c.series.chart}/${c.series.component}`;
      if (!groups.has(key)) groups.set(key, []);
      groups.get(key).push(c);
    }
    const found = [];
    for (const [key, members] of groups) {
      if (members.length < 2) continue;
      const name = key.split('\n')[0],
        tone = Kit.colour(name);
      for (const m of members) m.inBand = true;
      const warp = logx ? Math.log10 : (v) => v;
      const made = Smooth.band(
        members.map((m) => ({ x: Array.from(m.smoothed ? m.sx : m.rx, warp), y: m.smoothed ? m.sy : m.ry })),
        warp(a),
        warp(b),
      );
      if (logx) made.grid = made.grid.map((v) => 10 ** v);
      found.push({ key, name, tone, members, ...made });
    }
    return found;
  }
  return { build, curves, MARGIN };
})();
