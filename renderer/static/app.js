"use strict";
// The page: loads the data file again and again as a script (the one way that works from disk), and shows it.
(() => {
  const page = JSON.parse(document.getElementById("page").textContent);
  const $ = (id) => document.getElementById(id);
  const make = (tag, name, text) => {
    const e = document.createElement(tag);
    if (name) e.className = name;
    if (text !== undefined) e.textContent = text;
    return e;
  };
  const STORE = "avaliacoes.page";
  let chosen = {};
  try { chosen = JSON.parse(localStorage.getItem(STORE)) || {}; } catch { /* private windows have no storage */ }
  const choice = (key, otherwise) => (key in chosen ? chosen[key] : otherwise);
  const choose = (key, value) => {
    chosen[key] = value;
    try { localStorage.setItem(STORE, JSON.stringify(chosen)); } catch { /* kept for this visit only */ }
  };

  let data = null, pending = null, view = null, plotly = !!window.Plotly, painting = false;
  const cards = new Map(), dirty = new Set(), inSight = new Set();
  const narrow = () => innerWidth < 620;

  // ---- words
  const pad = (n) => String(n).padStart(2, "0");
  const clock = (t) => {
    const d = new Date(t * 1000), time = `${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}`;
    return Math.abs(Date.now() / 1000 - t) < 72000 ? time : `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())} ${time}`;
  };
  const count = (n) => (n === null || n === undefined ? "–" : Number(n).toLocaleString("en-US"));
  function ago(seconds) {
    const s = Math.max(0, Math.round(seconds));
    if (s < 2) return "just now";
    return `${lasting(s)} ago`;
  }
  function lasting(seconds) {
    const s = Math.max(0, Math.round(seconds));
    if (s < 60) return `${s} s`;
    if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
    if (s < 172800) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
    return `${Math.floor(s / 86400)} days`;
  }
  const rate = (r) => (r >= 100 ? count(Math.round(r)) : r >= 10 ? r.toFixed(1) : r.toFixed(2));

  // ---- header
  const tile = new Map();
  function tell(name, text, bad) {
    let box = tile.get(name);
    if (!box) {
      box = make("div");
      box.append(make("dt", "", name), make("dd"));
      $("tiles").append(box);
      tile.set(name, box);
    }
    const dd = box.lastChild;
    if (dd.textContent !== text) dd.textContent = text;
    box.className = bad ? "bad" : "";
  }
  function tick() {
    if (!data) return;
    const h = data.header, now = Date.now() / 1000;
    const quiet = now - data.written;
    const stale = h.active && quiet > Math.max(20, 10 * data.refresh);
    const pill = $("pill"), word = stale ? "not updating" : h.state;
    if (pill.textContent !== word) { pill.textContent = word; pill.className = `pill ${stale ? "stale" : h.state}`; }
    const why = stale ? `This page was last updated ${ago(quiet)}: the renderer is not running on this folder. Last known state: ${h.state}.` : h.reason;
    if ($("reason").textContent !== why) $("reason").textContent = why;
    tell("Last record", h.last_record === null ? "none yet" : ago(now - h.last_record));
    tell("Running time", h.started === null ? "–" : lasting((h.ended ?? now) - h.started));
  }
  function header() {
    const h = data.header;
    $("session").textContent = h.session;
    document.title = `${h.session} · ${h.state}`;
    tell("Step", count(h.step));
    tell("Records", count(h.records));
    tell(h.active ? "Records/s" : "Records/s, mean", rate(h.rate));
    tick();
    if (h.dropped > 0) tell("Dropped", count(h.dropped), true);
    if (h.producers > 1) tell("Producers", count(h.producers));
    const notes = $("notes");
    notes.hidden = !h.notes.length;
    notes.replaceChildren(...h.notes.map((n) => make("li", "", n)));
    const from = [h.host && `on ${h.host}`, h.script && `by ${h.script}`].filter(Boolean).join(" ");
    $("foot").textContent = `${from ? `Recorded ${from}. ` : ""}Data as of ${clock(data.written)}. Nothing on this page leaves this computer.`;
    $("waiting").hidden = h.records > 0 || data.panels.some((p) => p.rows.length);
    $("panels").hidden = !$("waiting").hidden && !data.alerts.shown.length;
  }

  // ---- alerts
  const NAMES = { ERROR: ["error", "errors", "Errors"], WARNING: ["warning", "warnings", "Warnings"], INFO: ["note", "notes", "Notes"] };
  function alerts() {
    const all = data.alerts, levels = Object.keys(NAMES);
    $("alerts").hidden = false;
    $("levels").replaceChildren(...levels.filter((l) => all.counts[l]).map((l) => {
      const a = make("a", `level ${l}`, `${all.counts[l]} ${NAMES[l][all.counts[l] > 1 ? 1 : 0]}`);
      a.href = "#alerts";
      return a;
    }));
    const list = [];
    for (const level of levels) {
      const some = all.shown.filter((a) => a.level === level);
      if (!some.length) continue;
      const h = make("h3", level, `${NAMES[level][2]} · ${some.length}`), ul = make("ul");
      for (const a of some) {
        const li = make("li", a.resolved === null ? level : `${level} over`);
        const state = a.resolved === null ? (data.header.active ? "firing" : "held to the end") : `resolved ${clock(a.resolved)}`;
        li.append(make("span", "tag", a.rule.replaceAll("_", " ")), make("span", "says", a.message || a.metric),
          make("span", "when", [a.step === null ? "" : `step ${count(a.step)}`, a.time === null ? "" : clock(a.time), state].filter(Boolean).join(" · ")));
        ul.append(li);
      }
      list.push(h, ul);
    }
    const raised = levels.reduce((n, l) => n + all.total[l], 0);
    const shown = all.shown.length;
    if (!shown) list.push(make("p", "quietly", raised ? `Nothing to show now. ${raised} raised earlier; those over for more than ${all.retention_minutes} minutes are in the report.` : "None so far."));
    else if (raised > shown) list.push(make("p", "quietly", `${raised} raised in all; per rule the latest is shown, and the report has the rest.`));
    $("alert-list").replaceChildren(...list);
  }

  // ---- table
  const HEADS = ["Category", "Metric", "Records", "First", "Last", "Min", "Max", "Mean", "Not finite"];
  function table() {
    const box = $("table");
    box.hidden = !data.table.length && !data.texts.length;
    $("table-count").textContent = `${data.table.length} series`;
    if (!box.open) return;
    const row = (cells, tag) => { const tr = make("tr"); tr.append(...cells.map((c) => make(tag, "", c))); return tr; };
    if (!box.querySelector("thead tr")) box.querySelector("thead").append(row(HEADS, "th"));
    box.querySelector("tbody").replaceChildren(...data.table.map((t) => {
      const tr = row([t.category, t.name, count(t.count), t.first, t.last, t.min, t.max, t.mean, count(t.bad)], "td");
      if (t.bad) tr.lastChild.className = "bad";
      return tr;
    }));
    const dl = make("dl", "said");
    for (const t of data.texts) dl.append(make("dt", "", t.name), make("dd", "", t.text));
    $("texts").replaceChildren(dl);
  }
  $("table").addEventListener("toggle", () => data && table());

  // ---- panels
  const ACCENT = { loss: 0, gradients: 4, rewards: 2, metrics: 0 };
  function colourOf(panel, row, series) {
    const r = panel.rows.indexOf(row), s = row.series.indexOf(series);
    if (panel.choose) return `var(--c${(r + s) % 8})`;
    return r === 0 ? `var(--c${(ACCENT[panel.id] + s * 3) % 8})` : `var(--c${s ? (s + 1) % 8 : panel.id === "loss" ? 1 : panel.id === "gradients" ? 5 : 6})`;
  }
  const plainColour = (variable) => Charts.css(variable.slice(4, -1));
  const rowsOf = (panel) => (panel.choose ? panel.rows.filter((r) => choice(`row/${r.id}`, r.open)) : panel.rows);
  const isHidden = (id) => choice(`off/${id}`, false);
  const logOf = (panel) => (row) => (row.small || panel.choose ? false : choice(`log/${panel.id}`, row.log));
  const heightOf = (panel) => { const h = narrow() ? 290 : 320, n = rowsOf(panel).length; return panel.choose ? Math.max(h, n * 64 + 48) : h; };

  const watcher = new IntersectionObserver((seen) => {
    for (const s of seen) s.isIntersecting ? inSight.add(s.target.dataset.panel) : inSight.delete(s.target.dataset.panel);
    paint();
  }, { rootMargin: "200px" });

  function cardOf(panel) {
    let card = cards.get(panel.id);
    if (card) return card;
    const root = make("section", `card${panel.choose ? " choose" : ""}`);
    root.dataset.panel = panel.id;
    root.setAttribute("aria-labelledby", `title-${panel.id}`);
    const head = make("div", "head"), title = make("h2", "", panel.title), tools = make("div", "tools");
    title.id = `title-${panel.id}`;
    const hint = make("span", "hint"), chips = make("div", "chips"), chart = make("div", "chart"), empty = make("p", "empty");
    if (!panel.choose) {
      const log = make("button", "tool", "log y");
      log.type = "button";
      log.addEventListener("click", () => { const p = card.panel, now = logOf(p)(p.rows[0] || {}); choose(`log/${p.id}`, !now); update(p); paint(); });
      tools.append(log);
      root.log = log;
    }
    chips.setAttribute("role", "group");
    chips.setAttribute("aria-label", panel.choose ? "Metrics to show" : "Lines to show");
    chart.setAttribute("role", "img");
    head.append(title, hint, tools);
    root.append(head, chips, chart, empty);
    $("panels").append(root);
    card = { root, hint, chips, chart, empty, panel, drawn: "" };
    cards.set(panel.id, card);
    watcher.observe(root);
    return card;
  }
  function chip(text, tone, on, press) {
    const b = make("button", "chip");
    b.type = "button";
    b.setAttribute("aria-pressed", String(on));
    const s = make("span", "swatch");
    s.style.setProperty("--swatch", tone);
    b.append(s, make("span", "word", text));
    b.title = text;
    b.addEventListener("click", press);
    return b;
  }
  function update(panel) {
    const card = cardOf(panel);
    card.panel = panel;
    card.hint.textContent = panel.hint;
    card.empty.hidden = !panel.empty;
    card.empty.textContent = panel.empty;
    card.chart.hidden = card.chips.hidden = !!panel.empty;
    if (card.root.log) {
      card.root.log.hidden = !!panel.empty;
      card.root.log.setAttribute("aria-pressed", String(logOf(panel)(panel.rows[0] || {})));
    }
    // Chips are made anew only when they differ: a rebuild would take the keyboard focus away.
    const items = panel.choose
      ? panel.rows.map((r) => [`row/${r.id}`, r.label, colourOf(panel, r, r.series[0]), choice(`row/${r.id}`, r.open), (on) => choose(`row/${r.id}`, !on)])
      : panel.rows.flatMap((r) => r.series.map((s) => [`off/${s.id}`, s.name + (s.bad_count ? ` (${s.bad_count} not finite)` : ""), colourOf(panel, r, s), !isHidden(s.id), (on) => choose(`off/${s.id}`, on)]));
    const print = JSON.stringify(items.map((i) => i.slice(0, 4)));
    if (card.drawn !== print) {
      const place = [...card.chips.children].indexOf(document.activeElement);
      card.drawn = print;
      card.chips.replaceChildren(...items.map(([, text, tone, on, press]) => chip(text, tone, on, () => { press(on); update(card.panel); paint(); })));
      if (place >= 0) card.chips.children[place]?.focus();
    }
    const said = panel.rows.map((r) => `${r.label}: ${Charts.short(r.series[0].last)}`).slice(0, 6).join(", ");
    card.chart.setAttribute("aria-label", `${panel.title}. Latest values: ${said || "none"}`);
    dirty.add(panel.id);
  }
  function overlaps(panel) {
    const e = view && Charts.extent(panel);
    return e && view[1] > e[0] && view[0] < e[1] ? view : null;
  }
  function draw(card) {
    const panel = card.panel;
    if (panel.empty) return;
    const rows = rowsOf(panel), least = heightOf(panel);
    card.chart.style.minHeight = `${least}px`;
    // The card may be taller than it needs, beside a taller one: the chart takes what there is.
    const height = Math.max(least, card.chart.clientHeight);
    const f = Charts.figure(panel, rows, {
      hidden: isHidden, log: logOf(panel), view: overlaps(panel), height, narrow: narrow(), colour: (r, s) => plainColour(colourOf(panel, r, s)),
    });
    const first = !card.chart._fullLayout;
    Plotly.react(card.chart, f.traces, f.layout, f.config);
    if (!first) return;
    card.chart.on("plotly_relayout", (e) => {
      if ("xaxis.range[0]" in e) zoom([Number(e["xaxis.range[0]"]), Number(e["xaxis.range[1]"])]);
    });
    card.chart.on("plotly_doubleclick", () => zoom(null));
  }
  // One chart per turn of the event loop, only those in sight: the page stays responsive while data comes in.
  function paint() {
    if (painting || !plotly || document.hidden) return;
    const id = [...dirty].find((d) => inSight.has(d));
    if (id === undefined) return;
    painting = true;
    dirty.delete(id);
    setTimeout(() => {
      try { draw(cards.get(id)); } finally { painting = false; }
      paint();
    }, 0);
  }
  function all() { for (const id of cards.keys()) dirty.add(id); paint(); }
  function zoom(range) {
    view = range;
    $("reset").hidden = !range;
    all();
  }
  $("reset").addEventListener("click", () => zoom(null));
  addEventListener("keydown", (e) => { if (e.key === "Escape" && view) zoom(null); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
  let wide = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== wide) { wide = innerWidth; all(); } });

  // ---- without plotly: a picture, or tables alone
  function picture() {
    let img = document.querySelector(".picture img");
    if (!img) {
      const box = make("section", "card picture");
      img = make("img");
      img.alt = "Charts of this session, drawn without interaction because plotly is not installed";
      box.append(img);
      $("panels").append(box);
    }
    img.src = `${page.image}?t=${data.drawn}`;
  }

  // ---- data
  function show() {
    if (!pending) return;
    const before = data && data.drawn;
    data = pending;
    pending = null;
    header();
    alerts();
    if (page.mode === "tables") $("table").open = true;
    table();
    if (page.mode === "image") { if (data.drawn && data.drawn !== before) picture(); }
    else if (page.mode === "plotly") { data.panels.forEach(update); paint(); }
    document.documentElement.dataset.revision = data.revision;
  }
  window.avaliacoesData = (d) => {
    if (data && d.revision <= data.revision) return;
    pending = d;
    if (!document.hidden) show();
  };
  let timer = 0;
  function load() {
    clearTimeout(timer);
    if (document.hidden) return;
    const s = document.createElement("script");
    const next = () => { s.remove(); timer = setTimeout(load, data && !data.header.active ? Math.max(10000, 1000 * page.refresh) : 1000 * (data ? data.refresh : page.refresh)); };
    s.onload = s.onerror = next;
    s.src = `${page.live}?t=${Date.now()}`;
    document.head.append(s);
  }
  document.addEventListener("visibilitychange", () => { if (!document.hidden) { show(); all(); load(); } });

  $("session").textContent = page.session;
  $("pill").textContent = "waiting";
  if (page.data) window.avaliacoesData(page.data);
  if (page.mode === "plotly") {
    const s = document.createElement("script");
    s.onload = () => { plotly = true; paint(); };
    s.onerror = () => { $("notes").hidden = false; $("notes").append(make("li", "", `The chart library is missing (${page.plotly}): start the renderer once more on this folder and reload.`)); page.mode = "tables"; if (data) { $("table").open = true; } };
    s.src = page.plotly;
    document.head.append(s);
  }
  load();
  setInterval(tick, 1000);
})();
