"use strict";
// One panel's plain data to a Plotly figure. Ranges are ours, not Plotly's: y is fitted to what the x range shows.
const Charts = (() => {
  const config = { displaylogo: false, showSendToCloud: false, plotlyServerURL: "", responsive: true, showTips: false, displayModeBar: false, doubleClick: false };
  const touch = matchMedia("(pointer: coarse)").matches;
  const ESC = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };
  // Plotly reads pseudo-HTML in every text.
  const safe = (text) => String(text).replace(/[&<>]/g, (c) => ESC[c]);
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function short(v) {
    if (v === null || v === undefined) return "–";
    const a = Math.abs(v);
    if (a !== 0 && (a < 1e-3 || a >= 1e6)) return v.toExponential(2);
    if (Number.isInteger(v)) return String(v);
    return a >= 100 ? v.toFixed(1) : Number(v.toPrecision(4)).toString();
  }

  function extent(panel) {
    let low = Infinity, high = -Infinity;
    for (const row of panel.rows) for (const s of row.series) for (const x of s.x) {
      if (x < low) low = x;
      if (x > high) high = x;
    }
    if (low > high) return null;
    const pad = (high - low || 1) * 0.012;
    return [low - pad, high + pad];
  }

  function fit(row, shown, range, log) {
    let low = Infinity, high = -Infinity;
    const see = (line) => {
      for (let i = 0; i < line.x.length; i++) {
        const y = line.y[i];
        if (y === null || line.x[i] < range[0] || line.x[i] > range[1] || (log && y <= 0)) continue;
        if (y < low) low = y;
        if (y > high) high = y;
      }
    };
    // The whole decides, not its parts: a component that died at 1e-48 must not flatten everything else.
    const whole = shown.filter((s) => !s.faint);
    for (const s of whole.length ? whole : shown) { see(s); s.averages.forEach(see); }
    if (log) low = Math.max(low, high * 1e-14);
    if (low > high) return log ? [-1, 1] : [0, 1];
    if (row.percent) return [0, Math.max(1e-6, Math.min(1.04, Math.max(high * 1.15, 0.02)))];
    if (log) {
      for (const line of row.lines) if (line.y > high && line.y < high * 10) high = line.y;
      const a = Math.log10(low), b = Math.log10(high), pad = Math.max((b - a) * 0.08, 0.04);
      return [a - pad, b + pad];
    }
    const pad = (high - low) * 0.08 || Math.abs(high) * 0.1 || 0.5;
    const within = (v) => Math.max(-1e300, Math.min(1e300, v));
    return [within(low - pad), within(high + pad)];
  }

  // panel: data; rows: those open; hidden(id): switched off; log(row); view: x range or null; size: pixels
  function figure(panel, rows, { hidden, log, view, height, narrow, colour }) {
    const ink = css("--ink"), soft = css("--soft"), faint = css("--faint"), grid = css("--grid"), card = css("--card"), line = css("--line");
    const range = view || extent(panel) || [0, 1];
    const traces = [], shapes = [], notes = [];
    const gap = rows.length > 1 ? 26 / height : 0;
    const weights = rows.map((r) => (r.small ? 1 : panel.choose ? 1 : 2.6));
    const sum = weights.reduce((a, b) => a + b, 0) || 1;
    const room = 1 - gap * (rows.length - 1);
    let top = 1;
    const layout = {
      uirevision: "keep", autosize: true, height, margin: { l: narrow ? 44 : 54, r: 12, t: 20, b: 28 }, showlegend: false,
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", dragmode: touch ? false : "zoom",
      font: { family: "system-ui, -apple-system, Segoe UI, Roboto, Noto Sans, sans-serif", size: 11, color: soft },
      hovermode: "x unified", hoversubplots: "axis", hoverlabel: { bgcolor: card, bordercolor: line, font: { size: 11.5, color: ink }, namelength: 36 }, hoverdistance: 30,
      xaxis: {
        range, gridcolor: grid, zeroline: false, linecolor: line, tickcolor: line, showspikes: true, spikemode: "across", spikethickness: 1,
        spikedash: "solid", spikecolor: faint, spikesnap: "cursor", nticks: narrow ? 5 : 8, anchor: rows.length > 1 ? `y${rows.length}` : "y",
        hoverformat: ",d", unifiedhovertitle: { text: "<b>step %{x:,d}</b>" },
      },
    };
    rows.forEach((row, i) => {
      const axis = i ? `y${i + 1}` : "y", share = (room * weights[i]) / sum, bottom = Math.max(0, top - share);
      const shown = row.series.filter((s) => !hidden(s.id));
      const useLog = log(row) && shown.some((s) => s.y.some((y) => y > 0));
      const span = fit(row, shown, range, useLog);
      const real = useLog ? span.map((v) => 10 ** v) : span;
      layout[`yaxis${i ? i + 1 : ""}`] = {
        domain: [bottom, top], range: span, type: useLog ? "log" : "linear", fixedrange: true, anchor: "x", gridcolor: grid, zeroline: false,
        nticks: row.small || panel.choose ? 3 : 6, tickformat: row.percent ? ".0%" : "~g", ticks: "", automargin: false,
        exponentformat: "power", minor: { showgrid: false }, dtick: useLog ? Math.max(1, Math.ceil((span[1] - span[0]) / (row.small ? 2 : 5))) : undefined,
      };
      const lead = row.series[0];
      notes.push({ xref: "paper", yref: "paper", x: 0, y: top, xanchor: "left", yanchor: "bottom", yshift: 2, showarrow: false, font: { size: 11, color: soft }, text: safe(row.label) + (useLog ? " · log" : "") });
      if (lead) {
        const tail = lead.trend ? ` · ${lead.trend.text}` : "";
        notes.push({ xref: "paper", yref: "paper", x: 1, y: top, xanchor: "right", yanchor: "bottom", yshift: 2, showarrow: false, font: { size: 11, color: ink }, text: safe((row.percent && lead.last !== null ? (lead.last * 100).toFixed(1) + " %" : short(lead.last)) + tail) });
      }
      const say = row.percent ? "%{y:.1%}" : "%{y:.4~g}";
      // The whole model is drawn last, over its components and its child processes.
      [...shown].sort((a, b) => b.faint - a.faint).forEach((s) => {
        const tone = colour(row, s), averaged = s.averages.length > 0;
        const dots = s.x.length <= 3;
        traces.push({ uid: s.id, x: s.x, y: s.y, name: safe(s.name), type: "scatter", mode: dots ? "lines+markers" : "lines", yaxis: axis, opacity: averaged && !dots ? 0.38 : 1,
          line: { color: tone, width: averaged ? 1 : s.faint ? 1.2 : 1.5 }, marker: { size: 5, color: tone }, connectgaps: false, hovertemplate: say + "<extra>" + safe(s.name) + "</extra>" });
        s.averages.forEach((a, n) => traces.push({ uid: `${s.id}/average${n}`, x: a.x, y: a.y, name: safe(a.name), type: "scatter", mode: "lines", yaxis: axis,
          line: { color: n ? ink : tone, width: n ? 1.6 : 2.2 }, hovertemplate: say + "<extra>" + safe(a.name) + "</extra>" }));
        if (s.trend) traces.push({ uid: `${s.id}/trend`, x: s.trend.x, y: s.trend.y, type: "scatter", mode: "lines", yaxis: axis, hoverinfo: "skip", line: { color: ink, width: 1.6, dash: "dash" } });
        if (s.bad.length) traces.push({ uid: `${s.id}/bad`, x: s.bad, y: s.bad.map(() => real[0]), type: "scatter", mode: "markers", yaxis: axis, cliponaxis: false,
          marker: { symbol: "x", size: 7, color: css("--error") }, hovertemplate: `${safe(s.name)}: not a finite number<extra></extra>` });
      });
      for (const l of row.lines) if (l.y > real[0] && l.y < real[1]) {
        shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, yref: axis, y0: l.y, y1: l.y, line: { color: css("--warning"), width: 1, dash: "dot" }, layer: "below" });
        notes.push({ xref: "paper", x: 1, xanchor: "right", yref: axis, y: useLog ? Math.log10(l.y) : l.y, yanchor: "bottom", showarrow: false, font: { size: 10, color: css("--warning") }, text: safe(l.text) });
      }
      if (i === 0) for (const level of ["INFO", "WARNING", "ERROR"]) {
        const marks = panel.marks.filter((m) => m.level === level);
        if (!marks.length) continue;
        const tone = css(`--${level.toLowerCase()}`);
        for (const m of marks.slice(-40)) shapes.push({ type: "line", xref: "x", x0: m.x, x1: m.x, yref: "paper", y0: 0, y1: 1, line: { color: tone, width: 1 }, opacity: 0.3, layer: "below" });
        traces.push({ uid: `marks/${level}`, x: marks.map((m) => m.x), y: marks.map(() => real[1]), text: marks.map((m) => safe(m.text).replace(/(.{1,70})(\s|$)/g, "$1<br>")), name: level, type: "scatter", mode: "markers", yaxis: axis,
          cliponaxis: false, marker: { symbol: level === "ERROR" ? "triangle-down" : level === "WARNING" ? "diamond" : "circle", size: 9, color: tone, line: { color: card, width: 1 } }, hovertemplate: "%{text}<extra></extra>" });
      }
      top = bottom - gap;
    });
    layout.shapes = shapes;
    layout.annotations = notes;
    return { traces, layout, config };
  }
  return { figure, short, extent, css };
})();
