// What a chart says in numbers: the crosshair that runs through all charts, its table, its CSV.
const Readout = (() => {
  'use strict';
  const { make, say, short, percent } = Kit;
  const SHEET_ROWS = 200;
  const tip = make('div', 'tip');
  tip.hidden = true;
  let x = null,
    home = null,
    planned = false,
    pointer = { x: 0, y: 0 };

  const words = (chart, v) => (chart.spec.percent ? percent(v) : short(v));
  /** The newest value of the chart's first curve, as it was logged. */
  function last(chart) {
    const f = chart.figure,
      lead = f && f.curves.filter((c) => !c.faint);
    if (!lead || lead.length !== 1) return '';
    const stat = lead[0].series.stat();
    return stat ? words(chart, stat[3]) : '';
  }
  /** The cell of a curve nearest to `at` in x; null where the curve is not. */
  function near(curve, at, logx) {
    let best = null,
      distance = Infinity;
    for (const cell of curve.cells) {
      const d = Math.abs(logx ? Math.log(cell.x / at) : cell.x - at);
      if (d < distance) {
        distance = d;
        best = cell;
      }
    }
    return best;
  }
  const inner = (chart) => ({ left: Figure.MARGIN.l, width: chart.width - Figure.MARGIN.l - Figure.MARGIN.r });
  function toX(f, share) {
    const [a, b] = f.range;
    return f.logx ? 10 ** (Math.log10(a) + share * (Math.log10(b) - Math.log10(a))) : a + share * (b - a);
  }
  function toShare(f, at) {
    const [a, b] = f.range;
    return f.logx ? (Math.log10(at) - Math.log10(a)) / (Math.log10(b) - Math.log10(a)) : (at - a) / (b - a);
  }
  function over(chart, event) {
    if (!chart.figure || chart.table) return;
    const box = chart.plot.getBoundingClientRect(),
      { left, width } = inner(chart),
      share = (event.clientX - box.left - left) / width;
    if (share < 0 || share > 1) return leave();
    x = toX(chart.figure, share);
    home = chart;
    pointer = { x: event.clientX, y: event.clientY };
    plan();
  }
  function leave() {
    x = null;
    home = null;
    plan();
  }
  function plan() {
    if (!planned) {
      planned = true;
      requestAnimationFrame(() => {
        planned = false;
        show();
      });
    }
  }
  function redraw(chart) {
    if (x !== null) line(chart);
  }
  function show() {
    for (const chart of Charts.inSight) line(chart);
    tell();
  }
  function line(chart) {
    const f = chart.figure;
    if (!f) return;
    const share = x === null ? -1 : toShare(f, x),
      on = share >= 0 && share <= 1 && !chart.table;
    chart.cross.classList.toggle('on', on);
    const lead = f.curves.filter((c) => !c.faint);
    if (!on) {
      if (lead.length === 1) say(chart.value, last(chart) + (f.said ? ` · ${f.said}` : ''));
      else say(chart.value, '');
      chart.value.classList.remove('at');
      return;
    }
    const { left, width } = inner(chart);
    chart.cross.style.transform = `translateX(${Math.round(left + share * width)}px)`;
    if (lead.length === 1) {
      const cell = near(lead[0], x, f.logx);
      say(chart.value, cell ? words(chart, Number.isFinite(cell.s) ? cell.s : cell.y) : '');
      chart.value.classList.add('at');
    }
  }
  function tell() {
    tip.hidden = home === null || !home.figure;
    if (tip.hidden) return;
    if (!tip.isConnected) document.body.append(tip);
    const f = home.figure,
      rows = [];
    let head = null;
    for (const g of f.bands) {
      const i = Math.max(0, Math.min(g.grid.length - 1, Math.round(toShare(f, x) * (g.grid.length - 1))));
      if (g.n[i])
        rows.push([g.tone, `${g.name} × ${g.n[i]}`, words(home, g.mean[i]), `${words(home, g.low[i])} to ${words(home, g.high[i])}`]);
    }
    for (const c of f.curves) {
      if (c.inBand) continue;
      const cell = near(c, x, f.logx);
      if (!cell) continue;
      if (!head) head = cell;
      const own =
        cell.n > 1
          ? `${words(home, cell.lo)} to ${words(home, cell.hi)} · ${Kit.many(cell.n, 'record')}`
          : Number.isFinite(cell.s)
            ? `logged ${words(home, cell.y)}`
            : '';
      rows.push([
        c.tone,
        c.name,
        words(home, Number.isFinite(cell.s) ? cell.s : cell.y),
        [own, cell.bad ? `${cell.bad} not finite` : ''].filter(Boolean).join(' · '),
      ]);
    }
    const parts = [make('div', 'when', head ? `step ${Kit.count(head.step)} · ${Kit.clock(head.t)}` : View.words(x))];
    for (const [tone, name, value, more] of rows.slice(0, 12)) {
      const swatch = make('span', 'swatch');
      swatch.style.setProperty('--swatch', tone);
      parts.push(make('div', 'row', swatch, make('span', 'word', Kit.cut(name, 48)), make('b', '', value)));
      if (more && rows.length <= 4) parts.push(make('div', 'more', more));
    }
    const { width } = inner(home);
    for (const m of f.marks) {
      if (Math.abs(toShare(f, m.x1) - toShare(f, x)) * width > 7) continue;
      parts.push(
        make(
          'div',
          `mark ${m.row.level}`,
          Kit.icon(m.row.level),
          `${Alerts.WORDS[m.row.level][0]}: ${String(m.row.rule).replaceAll('_', ' ')}. ${Kit.cut(String(m.row.message || ''), 160)}`,
        ),
      );
    }
    tip.replaceChildren(...parts);
    const box = tip.getBoundingClientRect(),
      right = pointer.x + 16 + box.width > innerWidth - 8;
    const top = Math.max(8, Math.min(innerHeight - box.height - 8, pointer.y + 14));
    tip.style.transform = `translate(${Math.round(Math.max(8, right ? pointer.x - box.width - 16 : pointer.x + 16))}px, ${Math.round(top)}px)`;
  }

  // ---- the same as rows
  function seen(chart) {
    const rows = [],
      f = chart.figure;
    if (!f) return rows;
    const [a, b] = f.range;
    for (const c of f.curves) {
      const at = View.place(c.columns, c.run).at,
        col = c.columns;
      for (let i = 0; i < col.size; i++) {
        if (at(i) < a || at(i) > b) continue;
        rows.push({
          run: c.run.name,
          series: c.series.metric,
          part: [c.series.component, c.series.child ? c.series.producer : ''].filter(Boolean).join(' '),
          step: col.x[i],
          time: col.t[i],
          value: col.mean[i],
          smoothed: c.smoothed ? c.smoothed[i] : null,
          lowest: col.lo[i],
          highest: col.hi[i],
          records: col.n[i],
          not_finite: col.bad[i],
        });
      }
    }
    return rows;
  }
  const HEADS = ['run', 'series', 'part', 'step', 'time', 'value', 'smoothed', 'lowest', 'highest', 'records', 'not_finite'];
  /** RFC 4180; a text that a spreadsheet would take for a formula gets an apostrophe before it. */
  function csv(chart) {
    const cell = (v) => {
      if (v === null || v === undefined) return '';
      if (typeof v === 'number') return String(v);
      const text = /^[=+\-@\t\r]/.test(v) ? `'${v}` : v;
      return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    return [HEADS.join(), ...seen(chart).map((row) => HEADS.map((h) => cell(row[h])).join())].join('\r\n') + '\r\n';
  }
  function sheet(chart) {
    const rows = seen(chart),
      many = new Set(rows.map((r) => `${r.run}/${r.series}/${r.part}`)).size > 1,
      shown = rows.slice(-SHEET_ROWS).reverse();
    const runs = new Set(rows.map((r) => r.run)).size;
    const heads = [...(many ? ['Curve'] : []), 'Step', 'Time', 'Value', 'Smoothed', 'Lowest', 'Highest', 'Records'];
    const body = shown.map((r) =>
      make(
        'tr',
        '',
        ...[
          ...(many ? [[runs > 1 ? r.run : '', r.series, r.part].filter(Boolean).join(' · ')] : []),
          Kit.count(r.step),
          Kit.clock(r.time),
          words(chart, r.value),
          r.smoothed === null ? '' : words(chart, r.smoothed),
          r.records + r.not_finite > 1 ? words(chart, r.lowest) : '',
          r.records + r.not_finite > 1 ? words(chart, r.highest) : '',
          Kit.count(r.records + r.not_finite),
        ].map((text) => make('td', '', text)),
      ),
    );
    const table = make(
      'table',
      '',
      make(
        'caption',
        '',
        `${chart.spec.title}: ${rows.length > SHEET_ROWS ? `the last ${SHEET_ROWS} of ${Kit.count(rows.length)} rows in sight` : `${Kit.many(rows.length, 'row')} in sight`}, newest first`,
      ),
      make(
        'thead',
        '',
        make(
          'tr',
          '',
          ...heads.map((h) => {
            const th = make('th', '', h);
            th.scope = 'col';
            return th;
          }),
        ),
      ),
      make('tbody', '', ...body),
    );
    const box = make('div', 'sheet', table);
    box.tabIndex = 0;
    if (chart.sheet)
      requestAnimationFrame(() => {
        box.scrollTop = before;
      });
    const before = chart.sheet ? chart.sheet.scrollTop : 0;
    return box;
  }
  return { over, leave, redraw, last, csv, sheet, seen };
})();
