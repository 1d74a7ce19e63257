// What part of the runs all charts look at, on which axis; kept in the address, so that a link or a reload shows the same.
const View = (() => {
  'use strict';
  const { choice, choose } = Kit;
  const listeners = new Set();
  const hash = new URLSearchParams(location.hash.slice(1));
  const AXES = ['step', 'time', 'relative'];
  const state = { axis: choice('axis', 'step'), logx: choice('logx', false), range: null, focus: null, rev: 1 };

  function put(name, value) {
    if (value === null || value === undefined || value === '') hash.delete(name);
    else hash.set(name, value);
    const text = `#${hash.toString().replaceAll('%2C', ',')}`;
    try {
      history.replaceState(null, '', text === '#' ? location.href.split('#')[0] : text);
    } catch {
      /* the view holds without its address */
    }
  }
  const get = (name) => hash.get(name);
  if (AXES.includes(get('axis'))) state.axis = get('axis');
  const first = (get('x') || '').split(',').map(Number);
  if (first.length === 2 && first.every(Number.isFinite) && first[0] < first[1]) state.range = first;

  function changed() {
    state.rev++;
    listeners.forEach((f) => f());
  }
  const exact = (v) => String(Number(v.toPrecision(13)));
  /** Look at [a, b] (null: everything, and follow); `focus` is what to point at there: {x0, x1, level, text}. */
  function look(range, focus = null) {
    if (range && !(range[1] > range[0])) range = null;
    state.range = range;
    state.focus = focus;
    put('x', range ? range.map(exact).join() : null);
    changed();
  }
  function setAxis(axis) {
    if (!AXES.includes(axis) || axis === state.axis) return;
    state.axis = axis;
    choose('axis', axis);
    put('axis', axis === 'step' ? null : axis);
    look(null);
  }
  function setLog(on) {
    state.logx = on;
    choose('logx', on);
    changed();
  }

  /** Everything there is of `runs` on the axis: [a, b], never empty. */
  function extent(runs) {
    let a = Infinity,
      b = -Infinity;
    for (const run of runs) {
      const e = run.extent;
      if (!e) continue;
      const [low, high] =
        state.axis === 'step' ? [e.x0, e.x1] : state.axis === 'time' ? [e.t0, e.t1] : [Math.min(0, e.t0 - run.started), e.t1 - run.started];
      if (low < a) a = low;
      if (high > b) b = high;
    }
    if (!(b >= a)) return [0, 1];
    return b > a ? [a, b] : [a - 0.5, b + 0.5];
  }
  /** The range to draw. On a log axis it begins at what is positive. */
  function span(runs) {
    let [a, b] = state.range || extent(runs);
    if (!state.range) {
      const room = (b - a) * 0.015;
      b += room;
      if (!state.logx) a -= room;
    }
    if (logarithmic() && a <= 0) a = Math.min(1, b / 10);
    return [a, b];
  }
  const logarithmic = () => state.logx && state.axis !== 'time';
  /** Where bucket i of columns `c` of `run` lies on the axis; its lowest and highest record at their own places. */
  function place(c, run) {
    if (state.axis === 'step') return { at: (i) => c.x[i], lowAt: (i) => c.xlo[i], highAt: (i) => c.xhi[i] };
    const zero = state.axis === 'relative' ? run.started : 0;
    const at = (i) => c.t[i] - zero;
    const part = (i, x) => {
      if (i === 0 || c.x[i] <= c.x[i - 1]) return at(i);
      const share = Math.min(1, Math.max(0, (x - c.x[i - 1]) / (c.x[i] - c.x[i - 1])));
      return at(i - 1) + (at(i) - at(i - 1)) * share;
    };
    return { at, lowAt: (i) => part(i, c.xlo[i]), highAt: (i) => part(i, c.xhi[i]) };
  }
  /** An alert's steps and times on the axis: {x0 onset, x1 detection}, or null. */
  function ofAlert(row, run) {
    if (state.axis === 'step') {
      const x1 = row.step,
        x0 = row.onset_step;
      return Number.isFinite(x1) ? { x0: Number.isFinite(x0) ? Math.min(x0, x1) : x1, x1 } : null;
    }
    const zero = state.axis === 'relative' ? run.started : 0,
      x1 = row.timestamp,
      x0 = row.onset_time;
    return Number.isFinite(x1) ? { x0: (Number.isFinite(x0) ? Math.min(x0, x1) : x1) - zero, x1: x1 - zero } : null;
  }
  function zoom(factor, runs) {
    const [a, b] = span(runs),
      middle = (a + b) / 2,
      half = ((b - a) / 2) * factor,
      [low, high] = extent(runs);
    const next = [Math.max(low, middle - half), Math.min(high, middle + half)];
    look(next[0] <= low && next[1] >= high ? null : next);
  }
  function pan(share, runs) {
    if (!state.range) return;
    const [low, high] = extent(runs),
      width = state.range[1] - state.range[0];
    const a = Math.max(low, Math.min(high - width, state.range[0] + width * share));
    look([a, a + width]);
  }

  // ---- ticks
  function nice(a, b, about) {
    const rough = (b - a) / Math.max(1, about),
      unit = 10 ** Math.floor(Math.log10(rough)),
      step = [1, 2, 2.5, 5, 10].find((m) => m * unit >= rough * 0.999) * unit;
    const found = [];
    for (let i = Math.ceil(a / step - 1e-9); i * step <= b + step * 1e-9 && found.length < 50; i++)
      found.push(Number((i * step).toPrecision(12)));
    return found.length < 2 && about < 12 ? nice(a, b, about + 2) : found;
  }
  function decades(a, b, about) {
    const low = Math.log10(a),
      high = Math.log10(b);
    if (high - low < 1.2) return nice(a, b, about).filter((v) => v > 0);
    const every = Math.max(1, Math.ceil((high - low) / about)),
      found = [];
    for (let e = Math.ceil(low - 1e-9); e <= high + 1e-9; e++) if (e % every === 0) found.push(10 ** e);
    if (found.length < 3 && every === 1)
      for (let e = Math.floor(low); e <= high; e++)
        for (const m of [2, 5]) {
          const v = m * 10 ** e;
          if (v > a && v < b) found.push(v);
        }
    return found.sort((p, q) => p - q);
  }
  const SECONDS = [
    0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 1209600,
    2592000,
  ];
  const SI = [
    [1e12, 'T'],
    [1e9, 'G'],
    [1e6, 'M'],
    [1e3, 'k'],
  ];
  function steps(v) {
    const a = Math.abs(v),
      unit = a >= 10000 ? SI.find(([n]) => a >= n) : null;
    return unit ? `${Number((v / unit[0]).toPrecision(7))}${unit[1]}` : Kit.short(v, 6);
  }
  function spanOf(v) {
    const a = Math.abs(v),
      sign = v < 0 ? '−' : '';
    if (a < 60) return `${sign}${Number(a.toPrecision(4))} s`;
    if (a < 3600) return `${sign}${Math.floor(a / 60)}:${String(Math.round(a % 60)).padStart(2, '0')}`;
    if (a < 172800) return `${sign}${Math.floor(a / 3600)} h${Math.round((a % 3600) / 60) ? ` ${Math.round((a % 3600) / 60)}` : ''}`;
    return `${sign}${Number((a / 86400).toPrecision(3))} d`;
  }
  function moment(t, every) {
    const d = new Date(t * 1000),
      pad = (n) => String(n).padStart(2, '0');
    if (every >= 86400 || (d.getHours() === 0 && d.getMinutes() === 0 && every >= 3600))
      return `${pad(d.getMonth() + 1)}-${pad(d.getDate())}`;
    return `${pad(d.getHours())}:${pad(d.getMinutes())}${every < 60 ? `:${pad(d.getSeconds())}` : ''}`;
  }
  /** Ticks of the x axis over [a, b]: {tickvals, ticktext}. */
  function ticks(a, b, about) {
    if (logarithmic()) {
      const v = decades(a, b, about);
      return { tickvals: v, ticktext: v.map(state.axis === 'step' ? steps : spanOf) };
    }
    if (state.axis === 'step') {
      const v = nice(a, b, about);
      return { tickvals: v, ticktext: v.map(steps) };
    }
    const rough = (b - a) / about,
      every = SECONDS.find((s) => s >= rough) || 86400 * Math.ceil(rough / 86400);
    const zero = state.axis === 'time' ? new Date(a * 1000).getTimezoneOffset() * 60 : 0,
      v = [];
    for (let i = Math.ceil((a - zero) / every); i * every + zero <= b && v.length < 40; i++) v.push(i * every + zero);
    return { tickvals: v, ticktext: v.map(state.axis === 'time' ? (t) => moment(t, every) : spanOf) };
  }
  /** One place of the axis in words. */
  const words = (x) =>
    state.axis === 'step' ? `step ${Kit.count(Math.round(x))}` : state.axis === 'time' ? Kit.clock(x) : `after ${spanOf(x)}`;
  return {
    state,
    listeners,
    changed,
    put,
    get,
    look,
    setAxis,
    setLog,
    extent,
    span,
    logarithmic,
    place,
    ofAlert,
    zoom,
    pan,
    nice,
    decades,
    steps,
    ticks,
    words,
    AXES,
  };
})();
