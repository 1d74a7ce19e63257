// Fingers on a chart: two zoom the window that all charts share, two quick taps show everything again, one scrolls the page as everywhere.
const Pinch = (() => {
  'use strict';
  /** Between two windows while fingers move: Safari takes only a hundred addresses in 30 s. */
  const EVERY_MS = 100;
  const TAP_MS = 350,
    TAP_PX = 24;
  /** The narrowest window that one gesture makes, and the nearest that two fingers count as. */
  const MOST = 1000,
    NEAREST_PX = 24;

  /** Where two fingers are over a chart: their middle as a share of its window, and how far apart in pixels. */
  function fingers(chart, [p, q]) {
    const left = chart.plot.getBoundingClientRect().left + Figure.MARGIN.l,
      width = chart.width - Figure.MARGIN.l - Figure.MARGIN.r;
    return {
      share: ((p.clientX + q.clientX) / 2 - left) / width,
      apart: Math.max(NEAREST_PX, Math.hypot(p.clientX - q.clientX, p.clientY - q.clientY)),
    };
  }
  /** What two fingers hold on to: the place under their middle and the width of the window, in powers of ten on a log axis. */
  function hold(chart, touches) {
    const { logx, range } = chart.figure,
      [a, b] = logx ? range.map(Math.log10) : range,
      { share, apart } = fingers(chart, touches);
    return { logx, width: b - a, apart, at: a + Math.min(1, Math.max(0, share)) * (b - a), last: 0 };
  }
  /** The window that keeps what is held under the fingers, inside of what there is; null for all of it. */
  function windowOf(chart, held, touches) {
    const { share, apart } = fingers(chart, touches),
      width = Math.max(held.width / MOST, (held.width * held.apart) / apart);
    let [low, high] = View.extent(Charts.settings.env(chart).runs);
    if (held.logx) [low, high] = [Math.log10(low > 0 ? low : Math.min(1, high / 10)), Math.log10(high)];
    if (width >= high - low) return null;
    const a = Math.max(low, Math.min(high - width, held.at - share * width));
    return held.logx ? [10 ** a, 10 ** (a + width)] : [a, a + width];
  }

  /** Listen to the fingers on a chart. Plotly does not hear of them: it would draw a zoom where the page is to be scrolled. */
  function on(chart) {
    let held = null,
      next = null,
      down = null,
      tapped = null;
    const look = () => {
      held.last = performance.now();
      View.look(next.range);
      next = null;
    };
    const listen = (kind, act) => chart.area.addEventListener(kind, act, { capture: true, passive: false });
    const keep = (e) => e.cancelable && e.preventDefault();
    const place = (e, touch) => ({ t: e.timeStamp, x: touch.clientX, y: touch.clientY });
    const near = (p, q) => p && q.t - p.t < TAP_MS && Math.hypot(q.x - p.x, q.y - p.y) < TAP_PX;
    listen('touchstart', (e) => {
      if (chart.table || !chart.figure) return;
      e.stopPropagation();
      down = e.touches.length === 1 ? place(e, e.touches[0]) : null;
      // Once the page is being scrolled it is too late: the browser does not let go of the fingers.
      const both = e.touches.length === 2 && [...e.touches].every((touch) => chart.area.contains(touch.target));
      if (!both || !e.cancelable) return;
      e.preventDefault();
      Readout.leave();
      held = hold(chart, e.touches);
    });
    listen('touchmove', (e) => {
      if (!held || e.touches.length !== 2) return;
      keep(e);
      next = { range: windowOf(chart, held, e.touches) };
      if (performance.now() - held.last > EVERY_MS) look();
    });
    const end = (e) => {
      if (held) {
        keep(e);
        if (next) look();
        held = null;
        return;
      }
      const up = place(e, e.changedTouches[0]),
        tap = e.type === 'touchend' && e.touches.length === 0 && near(down, up);
      if (tap) keep(e); // no clicks of a mouse after it: Plotly takes two for a double click, however far apart
      const twice = tap && near(tapped, up);
      tapped = tap && !twice ? up : null;
      if (twice) View.look(null);
    };
    listen('touchend', end);
    listen('touchcancel', end);
    // The crosshair is for one finger.
    listen('pointermove', (e) => {
      if (held) e.stopImmediatePropagation();
    });
  }
  return { on };
})();
