// What stands in a chart besides its curves: values that are not finite, alerts, limits, places where a run was resumed.
const Marks = (() => {
  'use strict';
  const { css } = Kit;
  const MOST_MARKS = 40;
  const MOST_BAD = 200;

  /** What is not finite, as marks at the edge: NaN a cross at the bottom, infinities triangles at their end. */
  function bad(shown, a, b, level, single, traces) {
    for (const c of shown) {
      if (!c.bads) continue;
      const cells = c.cells.filter((cell) => cell.bad && cell.x >= a && cell.x <= b);
      if (!cells.length) continue;
      const every = Math.ceil(cells.length / MOST_BAD),
        some = cells.filter((_, i) => i % every === 0);
      const up = (cell) => cell.y === Infinity;
      traces.push({
        uid: `${c.key}/bad`,
        x: some.map((cell) => cell.x),
        y: some.map((cell) => level(up(cell) ? 0.98 : 0.02)),
        type: 'scatter',
        mode: 'markers',
        cliponaxis: false,
        hoverinfo: 'skip',
        marker: {
          size: 8,
          color: single ? css('--error') : c.tone,
          line: { width: 1, color: css('--card') },
          symbol: some.map((cell) => (up(cell) ? 'triangle-up' : cell.y === -Infinity ? 'triangle-down' : 'x')),
        },
      });
    }
  }
  function alerts(spec, rows, a, b, level, shapes, traces) {
    const found = [];
    for (const { row, run } of rows) {
      if (!spec.keys.includes(`${row.source}/${row.metric}`)) continue;
      const at = View.ofAlert(row, run);
      if (at && at.x1 >= a && at.x1 <= b) found.push({ ...at, row, run });
    }
    const some = found.slice(-MOST_MARKS);
    for (const m of some) {
      const tone = css(`--${m.row.level.toLowerCase()}`),
        over = m.row.state !== 'firing';
      shapes.push({
        type: 'line',
        xref: 'x',
        x0: m.x1,
        x1: m.x1,
        yref: 'paper',
        y0: 0,
        y1: 1,
        line: { color: tone, width: 1, dash: over ? 'dot' : 'solid' },
        opacity: 0.55,
      });
      if (m.x0 < m.x1)
        shapes.push({
          type: 'rect',
          xref: 'x',
          x0: m.x0,
          x1: m.x1,
          yref: 'paper',
          y0: 0,
          y1: 1,
          fillcolor: tone,
          opacity: 0.07,
        });
    }
    if (some.length)
      traces.push({
        uid: 'marks',
        x: some.map((m) => m.x1),
        y: some.map(() => level(1)),
        type: 'scatter',
        mode: 'markers',
        cliponaxis: false,
        hoverinfo: 'skip',
        marker: {
          size: 9,
          color: some.map((m) => css(`--${m.row.level.toLowerCase()}`)),
          line: { width: 1, color: css('--card') },
          symbol: some.map((m) => (m.row.level === 'ERROR' ? 'octagon' : m.row.level === 'WARNING' ? 'triangle-up' : 'circle')),
        },
      });
    return found;
  }
  function limits(spec, env, y0, y1, ylog, shapes, notes) {
    for (const { y, text } of (spec.lines && spec.lines(env.settings)) || []) {
      const at = ylog ? Math.log10(y) : y;
      if (!(at > y0 && at < y1)) continue;
      shapes.push({
        type: 'line',
        xref: 'paper',
        x0: 0,
        x1: 1,
        yref: 'y',
        y0: y,
        y1: y,
        line: { color: css('--warning'), width: 1, dash: 'dot' },
      });
      notes.push({ y, text, tone: css('--warning') });
    }
  }
  function resumed(shown, a, b, shapes) {
    const seen = new Set();
    for (const c of shown)
      for (const i of Smooth.breaks(c.columns).slice(-20)) {
        const x = View.place(c.columns, c.run).at(i);
        if (seen.has(x) || x < a || x > b) continue;
        seen.add(x);
        shapes.push({
          type: 'line',
          xref: 'x',
          x0: x,
          x1: x,
          yref: 'paper',
          y0: 0,
          y1: 1,
          line: { color: css('--faint'), width: 1, dash: 'dashdot' },
          opacity: 0.5,
          });
      }
  }
  return { bad, alerts, limits, resumed };
})();
