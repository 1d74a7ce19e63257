// The canvas under Plotly's plot: grid, ticks, shapes and the lines that are ours. Range and margins are Plotly's, so places are as well.
const Canvas = (() => {
  'use strict';
  const { css } = Kit;
  /** Plotly's dashes, as multiples of the line's width or of three pixels. */
  const DASHES = { solid: [], dash: [3, 3], dot: [1, 1], dashdot: [3, 1, 1, 1] };
  const MITER = 2;
  /** How far beyond the edge a line is really drawn: a canvas keeps places only half as exactly as a number does. */
  const BEYOND = 2000;
  const FARTHEST = 1e12;
  const SIZE = 11;
  /**
   * A line of two pixels of the screen is drawn as four of one, moved to these sides: without a graphics processor lines of one pixel
   * are drawn straight, and wider ones as areas, whose many edges take several times as long.
   */
  const SIDES = [
    [-1, 0],
    [1, 0],
    [0, -1],
    [0, 1],
  ];
  const MIDDLE = [[0, 0]];

  /** Pixels of `length` from their beginning (or `back` from their end) at which values lie, when they show `range`. */
  class Scale {
    constructor([low, high], log, length, back) {
      Object.assign(this, { low, log, length, back, share: length / (high - low) });
    }
    at(v) {
      const p = Math.max(-FARTHEST, Math.min(FARTHEST, ((this.log ? Math.log10(v) : v) - this.low) * this.share));
      return this.back ? this.length - p : p;
    }
    all(values, into) {
      for (let i = 0; i < values.length; i++) into[i] = this.at(values[i]);
    }
  }
  /** What part of a segment is near [0, width] x [0, height], as two shares of it; or null (Liang and Barsky). */
  function near(x0, y0, x1, y1, width, height) {
    let from = 0,
      to = 1;
    const cut = (at, by, length) => {
      if (by === 0) return at > -BEYOND && at < length + BEYOND;
      const s = (-BEYOND - at) / by,
        t = (length + BEYOND - at) / by;
      from = Math.max(from, Math.min(s, t));
      to = Math.min(to, Math.max(s, t));
      return from < to;
    };
    return cut(x0, x1 - x0, width) && cut(y0, y1 - y0, height) ? [from, to] : null;
  }
  /** A line as a path, whose points are at `xs`, `ys`; what is not finite, or not on a log axis, interrupts it. */
  function trace(pen, line, xs, ys, dx, dy, width, height) {
    let x0 = NaN,
      y0 = NaN,
      was = false,
      down = false;
    for (let i = 0; i < line.x.length; i++) {
      const x = xs[i] + dx,
        y = ys[i] + dy,
        there = Number.isFinite(line.y[i]) && !Number.isNaN(x) && !Number.isNaN(y),
        is = there && x > -BEYOND && x < width + BEYOND && y > -BEYOND && y < height + BEYOND;
      if (!there || Number.isNaN(x0)) down = false;
      else if (was && is) {
        if (!down) pen.moveTo(x0, y0);
        pen.lineTo(x, y);
        down = true;
      } else {
        const part = near(x0, y0, x, y, width, height);
        if (part) {
          if (!down || part[0] > 0) pen.moveTo(x0 + (x - x0) * part[0], y0 + (y - y0) * part[0]);
          pen.lineTo(x0 + (x - x0) * part[1], y0 + (y - y0) * part[1]);
        }
        down = part !== null && part[1] === 1;
      }
      x0 = there ? x : NaN;
      y0 = y;
      was = is;
    }
  }
  function dots(pen, line, toX, toY, width, height) {
    const r = line.dots / 2;
    for (let i = 0; i < line.x.length; i++) {
      const x = toX.at(line.x[i]),
        y = toY.at(line.y[i]);
      if (!(x > -r && x < width + r && y > -r && y < height + r)) continue;
      pen.moveTo(x + r, y);
      pen.arc(x, y, r, 0, 2 * Math.PI);
    }
  }
  function grid(pen, { x, y }, toX, toY, width, height, ratio) {
    const sharp = (p) => Math.round((p - 0.5) * ratio) / ratio,
      thick = Math.max(1, Math.round(ratio)) / ratio;
    pen.fillStyle = css('--grid');
    for (const v of x.tickvals) pen.fillRect(sharp(toX.at(v)), 0, thick, height);
    for (const v of y.tickvals) pen.fillRect(0, sharp(toY.at(v)), width, thick);
  }
  /** Lines and rectangles in Plotly's words: `xref`, `yref` are an axis or `paper`, shares of the plot area. */
  function shape(pen, one, toX, toY, width, height) {
    const [x0, x1] = [one.x0, one.x1].map(one.xref === 'paper' ? (v) => v * width : (v) => toX.at(v)),
      [y0, y1] = [one.y0, one.y1].map(one.yref === 'paper' ? (v) => (1 - v) * height : (v) => toY.at(v));
    pen.globalAlpha = one.opacity ?? 1;
    if (one.type === 'rect') {
      pen.fillStyle = one.fillcolor;
      pen.fillRect(x0, y0, x1 - x0, y1 - y0);
    } else {
      pen.beginPath();
      pen.moveTo(x0, y0);
      pen.lineTo(x1, y1);
      stroke(pen, one.line);
    }
    pen.globalAlpha = 1;
  }
  function stroke(pen, { color, width, dash }) {
    pen.strokeStyle = color;
    pen.lineWidth = width;
    pen.setLineDash(DASHES[dash].map((part) => part * Math.max(3, width)));
    pen.stroke();
  }
  /** Room for the places of a line's points, kept. */
  let [xs, ys] = [new Float64Array(0), new Float64Array(0)];
  function draw(pen, line, toX, toY, width, height, ratio) {
    if (line.width) {
      const two = line.width * ratio === 2 && line.dash === 'solid',
        side = line.width / 4;
      if (xs.length < line.x.length) [xs, ys] = [new Float64Array(2 * line.x.length), new Float64Array(2 * line.x.length)];
      toX.all(line.x, xs);
      toY.all(line.y, ys);
      pen.beginPath();
      pen.miterLimit = MITER;
      for (const [dx, dy] of two ? SIDES : MIDDLE) trace(pen, line, xs, ys, dx * side, dy * side, width, height);
      stroke(pen, { color: line.tone, width: two ? line.width / 2 : line.width, dash: line.dash });
    }
    if (line.dots) {
      pen.beginPath();
      dots(pen, line, toX, toY, width, height);
      pen.fillStyle = line.tone;
      pen.fill();
    }
  }
  const sheet = document.createElement('canvas');
  /** An empty sheet for a line through which one sees: laid on as a whole, it is no darker where it crosses itself. */
  function layer(pen, columns, rows) {
    if (sheet.width !== columns || sheet.height !== rows) {
      // no larger than it must be: all of it is copied each time
      sheet.width = columns;
      sheet.height = rows;
    }
    const on = sheet.getContext('2d');
    on.resetTransform();
    on.clearRect(0, 0, columns, rows);
    on.setTransform(pen.getTransform());
    return on;
  }
  /** The ticks' words beside the plot area; one that does not fit into the chart is left out. */
  function ticks(pen, { x, y }, toX, toY, { l, t }, layout, height) {
    pen.fillStyle = layout.font.color;
    pen.font = `${SIZE}px ${layout.font.family}`;
    pen.textAlign = 'center';
    x.tickvals.forEach((v, i) => {
      const at = l + toX.at(v),
        half = pen.measureText(x.ticktext[i]).width / 2;
      if (at - half >= 0 && at + half <= layout.width) pen.fillText(x.ticktext[i], at, t + height + 14);
    });
    pen.textAlign = 'right';
    y.tickvals.forEach((v, i) => {
      if (pen.measureText(y.ticktext[i]).width <= l - 4) pen.fillText(y.ticktext[i], l - 4, t + toY.at(v) + 0.35 * SIZE);
    });
  }
  /** Draw a figure's own part into `canvas`; `range` is that of the x axis as Plotly has it (log10 where logarithmic). */
  function paint(canvas, figure, range) {
    const { layout, logx, ylog } = figure,
      { margin } = layout,
      width = layout.width - margin.l - margin.r,
      height = layout.height - margin.t - margin.b;
    const ratio = window.devicePixelRatio || 1,
      [columns, rows] = [Math.round(layout.width * ratio), Math.round(layout.height * ratio)];
    if (canvas.width !== columns || canvas.height !== rows) {
      canvas.width = columns;
      canvas.height = rows;
    }
    const pen = canvas.getContext('2d'),
      toX = new Scale(range, logx, width, false),
      toY = new Scale(layout.yaxis.range, ylog, height, true);
    pen.setTransform(columns / layout.width, 0, 0, rows / layout.height, 0, 0);
    pen.clearRect(0, 0, layout.width, layout.height);
    ticks(pen, figure.ticks, toX, toY, margin, layout, height);
    pen.save();
    pen.translate(margin.l, margin.t);
    pen.beginPath();
    pen.rect(0, 0, width, height);
    pen.clip();
    grid(pen, figure.ticks, toX, toY, width, height, ratio);
    for (const one of figure.shapes) shape(pen, one, toX, toY, width, height);
    for (const line of figure.own)
      if (line.opacity === 1) draw(pen, line, toX, toY, width, height, ratio);
      else {
        const on = layer(pen, columns, rows);
        draw(on, line, toX, toY, width, height, ratio);
        pen.save();
        pen.resetTransform();
        pen.globalAlpha = line.opacity;
        pen.drawImage(on.canvas, 0, 0, columns, rows, 0, 0, columns, rows);
        pen.restore();
      }
    pen.textAlign = 'right';
    pen.font = `${SIZE - 1}px ${layout.font.family}`;
    for (const { y, text, tone } of figure.notes) {
      const at = toY.at(y);
      pen.fillStyle = tone;
      pen.fillText(text, width - 1, at < SIZE + 4 ? at + SIZE : at - 4);
    }
    pen.restore();
  }
  /** Give back what the picture takes. */
  function forget(canvas) {
    canvas.width = canvas.height = 0;
  }
  return { paint, forget };
})();
