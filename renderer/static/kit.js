// What every part of the page uses: elements, icons, choices that are remembered, words for numbers and times.
const Kit = (() => {
  'use strict';
  const page = JSON.parse(document.getElementById('page').textContent);
  const $ = (id) => document.getElementById(id);

  /** An element with a class and children; strings become text, never markup. */
  function make(tag, name, ...children) {
    const e = document.createElement(tag);
    if (name) e.className = name;
    e.append(...children.filter((c) => c !== null && c !== undefined && c !== ''));
    return e;
  }
  function button(name, label, title, press) {
    const b = make('button', name, label);
    b.type = 'button';
    if (title) {
      b.title = title;
      b.setAttribute('aria-label', title);
    }
    if (press) b.addEventListener('click', press);
    return b;
  }
  /** Change text only where it differs: an unchanged node keeps its selection and costs no layout. */
  function say(e, text) {
    if (e.textContent !== text) e.textContent = text;
  }
  function tell(e, name, value) {
    if (e.getAttribute(name) !== value) e.setAttribute(name, value);
  }

  const SVG = 'http://www.w3.org/2000/svg';
  function svg(tag, facts, ...children) {
    const e = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(facts)) e.setAttribute(name, value);
    e.append(...children);
    return e;
  }
  const SHAPES = {
    ERROR: ['M5 1h6l4 4v6l-4 4H5l-4-4V5z', 'M5.5 5.5l5 5m0-5l-5 5'],
    WARNING: ['M8 1.2l7 13H1z', 'M8 6v4m0 2v.4'],
    INFO: ['M8 1a7 7 0 110 14A7 7 0 018 1z', 'M8 7.2V12m0-7.6v.4'],
  };
  /** The icon of a level: three outlines that differ without colour. */
  function icon(level) {
    const [outline, sign] = SHAPES[level] || SHAPES.INFO;
    return svg(
      'svg',
      { viewBox: '0 0 16 16', class: `icon ${level}`, 'aria-hidden': 'true' },
      svg('path', { d: outline, class: 'outline' }),
      svg('path', { d: sign, class: 'sign' }),
    );
  }

  // ---- choices, remembered over visits where the browser allows it
  const STORE = 'avaliacoes.page.2';
  let chosen = {};
  try {
    chosen = JSON.parse(localStorage.getItem(STORE)) || {};
  } catch {
    /* private windows have no storage */
  }
  const choice = (key, otherwise) => (key in chosen ? chosen[key] : otherwise);
  function choose(key, value) {
    if (value === undefined) delete chosen[key];
    else chosen[key] = value;
    try {
      localStorage.setItem(STORE, JSON.stringify(chosen));
    } catch {
      /* kept for this visit only */
    }
  }
  /** One entry of a remembered map, which keeps its newest `most` entries. */
  function chooseIn(key, name, value, most = 400) {
    const map = { ...choice(key, {}) };
    delete map[name];
    if (value !== undefined) map[name] = value;
    const names = Object.keys(map);
    for (const old of names.slice(0, Math.max(0, names.length - most))) delete map[old];
    choose(key, map);
  }

  // ---- colours: Okabe and Ito's set, darkened or lightened until each has a contrast of 3 on its ground
  const cached = new Map();
  function css(name) {
    if (!cached.has(name)) cached.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
    return cached.get(name);
  }
  const HUES = 8;
  /** The colour of a run or group: chosen by hand, else the next of the set when it is first drawn, then kept; unless it is to be `drawn`, none yet. */
  function colour(name, drawn = true) {
    const own = choice('colours', {})[name];
    if (own) return own;
    let places = choice('places', {});
    if (!(name in places)) {
      if (!drawn) return css('--faint');
      chooseIn('places', name, choice('placed', 0) % HUES);
      choose('placed', choice('placed', 0) + 1);
      places = choice('places', {});
    }
    return css(`--c${places[name]}`);
  }
  const nth = (i) => css(`--c${((i % HUES) + HUES) % HUES}`);
  const themes = new Set();
  function setTheme(theme) {
    if (theme === 'auto') document.documentElement.removeAttribute('data-theme');
    else document.documentElement.setAttribute('data-theme', theme);
    cached.clear();
    themes.forEach((f) => f());
  }
  setTheme(choice('theme', 'auto'));
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    cached.clear();
    themes.forEach((f) => f());
  });

  // ---- words
  const real = (v) => (v === 'NaN' ? NaN : v === 'Infinity' ? Infinity : v === '-Infinity' ? -Infinity : v);
  const { format: grouped } = new Intl.NumberFormat('en-US');
  /** A number for people: four digits, exponents only where they help. */
  function short(v, digits = 4) {
    v = real(v);
    if (v === null || v === undefined) return '–';
    if (Number.isNaN(v)) return 'NaN';
    if (!Number.isFinite(v)) return v > 0 ? '∞' : '−∞';
    const a = Math.abs(v);
    let text;
    if (a === 0) text = '0';
    else if (Number.isInteger(v) && a < 1e7) text = grouped(v);
    else if (a < 1e-3 || a >= 1e6)
      text = v
        .toExponential(digits - 2)
        .replace(/\.?0+e/, 'e')
        .replace('e+', 'e');
    else {
      const n = Number(v.toPrecision(digits));
      text = a >= 1000 ? grouped(n) : String(n);
    }
    return text.replace(/^-/, '−').replace('e-', 'e−');
  }
  const percent = (v) => (Number.isFinite(real(v)) ? `${short(real(v) * 100, 3)} %` : short(v));
  const count = (n) => (n === null || n === undefined ? '–' : grouped(Number(n)));
  /** "1 record", "1,200 records". */
  const many = (n, one) => `${count(n)} ${n === 1 ? one : `${one}s`}`;
  const pad = (n) => String(n).padStart(2, '0');
  function clock(t) {
    const d = new Date(t * 1000),
      time = `${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}`;
    return Math.abs(Date.now() / 1000 - t) < 72000 ? time : `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())} ${time}`;
  }
  function lasting(seconds) {
    const s = Math.max(0, Math.round(seconds));
    if (s < 60) return `${s} s`;
    if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
    if (s < 172800) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
    return many(Math.floor(s / 86400), 'day');
  }
  const ago = (seconds) => (seconds < 2 ? 'just now' : `${lasting(seconds)} ago`);
  const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
  /** Text for Plotly, which reads some markup in names. */
  const safe = (text) => String(text).replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
  const now = () => Date.now() / 1000;
  const turns = new MessageChannel(),
    waiting = [];
  turns.port1.onmessage = () => waiting.shift()();
  /** Go on in a task of its own: input goes before it, and a frame may. */
  const turn = () =>
    new Promise((go) => {
      waiting.push(go);
      turns.port2.postMessage(0);
    });
  /** Let the browser breathe: input and painting go before the next piece of work. */
  const breathe = () => new Promise((go) => (document.hidden ? setTimeout(go, 0) : requestAnimationFrame(() => turn().then(go))));
  function download(name, text, type) {
    const a = make('a');
    a.href = URL.createObjectURL(new Blob([text], { type }));
    a.download = name;
    document.body.append(a);
    a.click();
    a.remove();
    setTimeout(() => URL.revokeObjectURL(a.href), 10000);
  }
  return {
    page,
    $,
    make,
    button,
    say,
    tell,
    svg,
    icon,
    choice,
    choose,
    chooseIn,
    css,
    colour,
    nth,
    setTheme,
    themes,
    real,
    short,
    percent,
    count,
    many,
    clock,
    lasting,
    ago,
    cut,
    safe,
    now,
    turn,
    breathe,
    download,
  };
})();
