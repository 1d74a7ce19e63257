// The lines of a chart, in the order in which they lie over one another, and who draws each: Plotly a few, our own canvas the rest.
const Lines = (() => {
  'use strict';
  const { css, safe } = Kit;
  /** Lines that are left to Plotly: it takes a millisecond and more for each, whatever its length. */
  const FEW = 3;
  const FEW_GROUPS = 40;

  /**
   * Lines of `curves`: {uid, name, x, y, tone, width (0: only dots), dash, opacity, dots (their diameter, 0: none), under: beneath
   * its own smoothed one}, in CSS pixels; `said` is the trend in a word.
   */
  function of(spec, env, curves, a, b, most) {
    const lines = [],
      { how, runs } = env;
    const add = (c, uid, x, y, more) =>
      lines.push({ uid: c.key + uid, name: c.name, x, y, tone: c.tone, width: 1, dash: 'solid', opacity: 1, dots: 0, under: false, ...more });
    for (const c of curves)
      if (!c.faint || !c.smoothed) {
        const alone = !c.smoothed,
          few = c.groups <= FEW_GROUPS;
        add(c, '', c.rx, c.ry, {
          width: alone ? (c.faint ? 1.1 : 1.5) : 1,
          dash: c.dash,
          opacity: alone ? (c.faint ? 0.7 : 1) : few ? 0.5 : 0.3,
          dots: few ? 4 : 0,
          under: !alone,
        });
        const dots = isolated(c.rx, c.ry);
        if (dots.x.length) add(c, '/dots', dots.x, dots.y, { width: 0, opacity: alone ? 1 : 0.5, dots: 5, under: !alone });
      }
    for (const c of curves)
      if (c.smoothed) add(c, '/smooth', c.sx, c.sy, { width: c.faint ? 1.2 : 2, dash: c.dash, opacity: c.faint ? 0.75 : 1 });
    if (spec.second && curves.length === 1 && how.slow && curves[0].smoothed) {
      const c = curves[0],
        slow = Smooth.smooth(c.columns, how.slow);
      if (slow) {
        const p = Smooth.points(c.columns, slow, View.place(c.columns, c.run), a, b, most);
        add(c, '/slow', p.sx, p.sy, { tone: css('--ink'), width: 1.4 });
      }
    }
    let said = '';
    const lead = spec.trend && runs.length === 1 && curves.find((one) => !one.faint);
    if (lead) {
      const base = lead.series.data(),
        stat = lead.series.stat(),
        t = Smooth.trend(base, Math.max(env.trendOver, Math.floor(((stat && stat[0]) || 0) / 20)));
      if (t) {
        const at = View.place(base, lead.run).at;
        said = Smooth.word(t);
        add(lead, '/trend', [at(t[4]), at(base.size - 1)], [t[1], t[3]], { tone: css('--ink'), width: 1.4, dash: 'dash' });
      }
    }
    return { lines, said };
  }
  /** Records that no line reaches, because their neighbours are not finite. */
  function isolated(x, y) {
    const at = { x: [], y: [] };
    let before = false;
    for (let i = 0; i < y.length; i++) {
      const is = Number.isFinite(y[i]);
      if (is && !before && !(i + 1 < y.length && Number.isFinite(y[i + 1]))) {
        at.x.push(x[i]);
        at.y.push(y[i]);
      }
      before = is;
    }
    return at;
  }
  /** Raw curves under smoothed ones are ours; where the others are many they are as well, and then all lie as they did. */
  function share(lines) {
    const over = lines.filter((line) => !line.under);
    return over.length > FEW ? { own: lines, plotly: [] } : { own: lines.filter((line) => line.under), plotly: over };
  }
  const trace = (line) => ({
    uid: line.uid,
    x: line.x,
    y: line.y,
    name: safe(Kit.cut(line.name, 80)),
    type: 'scatter',
    mode: [line.width && 'lines', line.dots && 'markers'].filter(Boolean).join('+'),
    connectgaps: false,
    hoverinfo: 'skip',
    opacity: line.opacity,
    ...(line.width && { line: { color: line.tone, width: line.width, dash: line.dash } }),
    ...(line.dots && { marker: { size: line.dots, color: line.tone } }),
  });
  return { of, share, trace };
})();
