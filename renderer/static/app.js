// The page itself: follows its runs, hands what is new to the parts, and takes the reader's wishes.
(() => {
  'use strict';
  const { page, $, choice, choose, say, tell, make } = Kit;
  const all = page.session === null;
  const HIDDEN_S = 15,
    GONE_S = 120,
    LOST_S = 5;
  const how = { kind: choice('smooth', 'mean'), w: choice('w', 0.9), records: choice('records', null) };
  let outliers = choice('outliers', false),
    timer = 0,
    marks = [];

  function shown() {
    const names = all ? Runs.shown() : [page.session];
    return names.map((n) => Data.run(n)).filter((r) => !all || r.manifest);
  }
  const settings = () => {
    const r = shown().find((one) => one.manifest);
    return (r && r.manifest.settings) || {};
  };
  const records = () => how.records ?? settings().moving_average_window ?? 20;
  function smoothing() {
    const n = records(),
      slow = how.kind === 'ema' ? { kind: 'ema', w: how.w ** 0.2 } : { kind: 'mean', records: 5 * n };
    return { kind: how.kind, w: how.w, records: n, slow };
  }
  const grouping = () => (all && Runs.state.group ? Runs.groupOf : null);
  Charts.settings.env = (chart) => ({
    runs: shown(),
    how: smoothing(),
    log: chart && chart.log,
    hidden: chart ? chart.hidden : new Set(),
    outliers,
    groupOf: grouping(),
    alerts: marks,
    touch: Charts.touch,
    settings: limits(),
    trendOver: settings().convergence_window || 50,
  });
  const limits = () => ({ gradient_threshold_high: 10, gradient_threshold_low: 1e-8, zeros_ratio_threshold: 0.5, ...settings() });

  // ---- what arrives
  let planned = false;
  const waiting = { shape: false, alerts: false, head: false, touched: new Set() };
  Data.listeners.add((event) => {
    if (event.kind === 'runs') waiting.shape = true;
    if (event.kind === 'alerts') waiting.alerts = true;
    if (event.kind === 'data') event.touched.forEach((key) => waiting.touched.add(key));
    waiting.head = true;
    plan();
  });
  /** What came since is taken in one go; a page that falls behind skips states, never data. */
  function plan() {
    if (!planned) {
      planned = true;
      setTimeout(take, document.hidden ? 1000 : 30);
    }
  }
  async function take() {
    planned = false;
    const { touched, alerts } = waiting,
      runs = shown();
    waiting.touched = new Set();
    waiting.alerts = waiting.shape = waiting.head = false;
    if (page.mode === 'plotly') Panels.update(runs);
    head();
    if (alerts) {
      marks = Alerts.marks(runs);
      Charts.markAll();
    }
    Alerts.show(shown, alerts);
    if (touched.size) Charts.markAll((chart) => chart.spec.keys.some((key) => touched.has(key)));
    if (touched.size && !View.state.range) for (const chart of Charts.inSight) Charts.mark(chart);
    summary();
    document.documentElement.dataset.revision = Math.max(-1, ...runs.map((r) => r.at));
    await Kit.breathe();
    Charts.paint();
  }
  function head() {
    if (all) {
      Head.folder(Data.listing, shown());
      Runs.update();
      legend();
    } else Head.session(Data.run(page.session));
  }
  /** Which colour is which run: once for all charts of the page of all, in sight while they scroll. */
  function legend() {
    const groups = grouping(),
      runs = shown().map((r) => r.name),
      of = new Map();
    for (const name of runs) {
      const key = groups ? groups(name) : name;
      of.set(key, (of.get(key) || 0) + 1);
    }
    const list = [...of].map(([name, n]) => [n > 1 || !groups ? name : runs.find((r) => groups(r) === name), n]),
      key = JSON.stringify(list.map(([name]) => [name, Kit.colour(name)]));
    $('legend').hidden = !all || !list.length;
    if ($('legend').dataset.key === key) return;
    $('legend').dataset.key = key;
    $('legend').replaceChildren(
      ...list.map(([name, n]) => {
        const swatch = make('span', 'swatch');
        swatch.style.setProperty('--swatch', Kit.colour(name));
        return make('li', '', swatch, Kit.cut(name, 60), n > 1 ? make('span', 'hint', `mean and band of ${n}`) : '');
      }),
    );
  }
  function refresh(force) {
    const runs = shown();
    marks = Alerts.marks(runs);
    if (page.mode === 'plotly') Panels.update(runs, force);
    head();
    Alerts.show(shown, true);
    Charts.markAll();
    Charts.paint();
    poll();
  }

  // ---- following
  async function poll() {
    clearTimeout(timer);
    if (all) await Data.followRuns();
    const names = all ? Runs.shown() : [page.session];
    await Promise.all(names.map((n) => Data.follow(Data.run(n))));
    clearTimeout(timer);
    const active =
      all ||
      names.some((n) => {
        const r = Data.run(n);
        return r.active || !r.manifest;
      });
    const usual = all ? Data.listing.refresh : (Data.run(page.session).manifest || page).refresh;
    const lost = !all && Data.run(page.session).missing > 5;
    const every = document.hidden
      ? HIDDEN_S
      : lost
        ? LOST_S
        : active
          ? Math.max(0.2, usual || 1)
          : Math.min(GONE_S, 10 * Math.max(1, usual || 1));
    if (!all && Data.run(page.session).inline) {
      timer = setTimeout(poll, 60000);
      return;
    }
    timer = setTimeout(poll, every * 1000);
  }
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden && (all || !Data.run(page.session).inline)) poll();
  });
  setInterval(() => {
    if (!document.hidden) {
      head();
      Alerts.show(shown);
    }
  }, 1000);

  const summary = () => Summary.show(all ? null : shown()[0]);
  $('table').addEventListener('toggle', summary);

  // ---- controls
  const KINDS = [
    ['mean', 'Moving average'],
    ['ema', 'EMA'],
    ['none', 'None'],
  ];
  const toSlider = () => (how.kind === 'ema' ? Math.round(-Math.log10(1 - how.w) * 250) : Math.round((Math.log10(records()) / 5) * 1000));
  function fromSlider(v) {
    if (how.kind === 'ema') {
      how.w = Math.min(0.9999, Number((1 - 10 ** (-v / 250)).toFixed(v > 750 ? 5 : v > 500 ? 4 : 3)));
      choose('w', how.w);
    } else {
      how.records = Math.max(1, Number((10 ** ((v / 1000) * 5)).toPrecision(2)));
      choose('records', how.records);
    }
  }
  function controls() {
    const slider = $('smooth');
    $('kind').value = how.kind;
    slider.disabled = how.kind === 'none';
    if (Number(slider.value) !== toSlider()) slider.value = toSlider();
    const text =
      how.kind === 'ema' ? String(how.w) : how.kind === 'mean' ? Kit.many(records(), 'record') : '';
    say($('smooth-value'), text);
    tell(slider, 'aria-valuetext', text);
    for (const axis of View.AXES) tell($(`axis-${axis}`), 'aria-pressed', String(View.state.axis === axis));
    tell($('logx'), 'aria-pressed', String(View.logarithmic()));
    $('logx').disabled = View.state.axis === 'time';
    tell($('outliers'), 'aria-pressed', String(outliers));
    $('reset').disabled = !View.state.range;
    say($('where'), View.state.range ? View.state.range.map((v) => View.words(v).replace(/^step /, '')).join(' to ') : 'all, following');
    const theme = choice('theme', 'auto');
    say($('theme'), `◐ ${theme}`);
    $('theme').setAttribute('aria-label', `Colours: ${theme}`);
  }
  function smooth(kind) {
    how.kind = kind;
    choose('smooth', kind);
    controls();
    Charts.markAll();
    Charts.paint();
  }
  function slide(v) {
    fromSlider(Math.max(0, Math.min(1000, v)));
    controls();
    Charts.markAll();
    Charts.paint();
  }
  function setOutliers(on) {
    outliers = on;
    choose('outliers', on);
    controls();
    Charts.markAll();
    Charts.paint();
  }
  function nextTheme() {
    const order = ['auto', 'light', 'dark'],
      next = order[(order.indexOf(choice('theme', 'auto')) + 1) % 3];
    choose('theme', next);
    Kit.setTheme(next);
    controls();
    Alerts.show(shown, true);
    if (all) Runs.update(true);
  }
  const search = (text) => {
    Panels.filter(text);
    View.put('q', text);
  };
  $('kind').replaceChildren(
    ...KINDS.map(([value, label]) => {
      const o = make('option', '', label);
      o.value = value;
      return o;
    }),
  );
  $('kind').addEventListener('change', () => smooth($('kind').value));
  $('smooth').addEventListener('input', () => slide(Number($('smooth').value)));
  $('search').addEventListener('input', () => search($('search').value));
  for (const axis of View.AXES) $(`axis-${axis}`).addEventListener('click', () => View.setAxis(axis));
  $('logx').addEventListener('click', () => View.setLog(!View.state.logx));
  $('outliers').addEventListener('click', () => setOutliers(!outliers));
  $('zoom-in').addEventListener('click', () => View.zoom(0.5, shown()));
  $('zoom-out').addEventListener('click', () => View.zoom(2, shown()));
  $('reset').addEventListener('click', () => View.look(null));
  $('theme').addEventListener('click', nextTheme);
  $('keys-open').addEventListener('click', () => $('keys').showModal());
  $('keys').addEventListener('click', (e) => {
    if (e.target === $('keys')) $('keys').close();
  });
  View.listeners.add(controls);
  const KEYS = {
    '/': () => {
      $('search').focus();
      $('search').select();
    },
    '?': () => $('keys').showModal(),
    0: () => View.look(null),
    Escape: () => View.look(null),
    '+': () => View.zoom(0.5, shown()),
    '=': () => View.zoom(0.5, shown()),
    '-': () => View.zoom(2, shown()),
    ArrowLeft: () => View.pan(-0.25, shown()),
    ArrowRight: () => View.pan(0.25, shown()),
    x: () => View.setAxis(View.AXES[(View.AXES.indexOf(View.state.axis) + 1) % 3]),
    s: () => slide(toSlider() - 40),
    S: () => slide(toSlider() + 40),
    o: () => setOutliers(!outliers),
    d: nextTheme,
    n: () => Alerts.step(1, shown),
    p: () => Alerts.step(-1, shown),
    l: () => Keys.chart((c) => c.setLog(!c.log)),
    t: () => Keys.chart((c) => c.setTable(!c.table)),
  };
  Keys.listen(KEYS, () => search(''));
  /** The chart library. Its part for maps brings a style of its own, which the page's policy refuses and nothing here needs: it is not put in. */
  async function library() {
    const { head } = document,
      put = head.appendChild;
    head.appendChild = (e) => (e.tagName === 'STYLE' && e.textContent.includes('maplibregl') ? e : put.call(head, e));
    const there = await Data.load(page.plotly);
    delete head.appendChild;
    return there;
  }

  // ---- begin
  say($('session'), all ? 'Runs' : page.session);
  $('home').hidden = all;
  $('tiles').hidden = all;
  $('tools').hidden = page.mode !== 'plotly';
  if (View.get('q')) {
    $('search').value = View.get('q');
    Panels.filter(View.get('q'));
  }
  if (all) Runs.start(() => refresh(true));
  controls();
  if (page.mode === 'image' && !all) {
    const img = make('img');
    img.alt = `Charts of ${page.session} as a picture`;
    img.src = page.image;
    $('panels').append(make('section', 'card picture', img));
    let drawn = 0;
    Data.listeners.add((event) => {
      const at = event.kind === 'manifest' && event.run.manifest ? event.run.manifest.drawn : 0;
      if (at && at !== drawn) {
        drawn = at;
        img.src = `${page.image}?t=${at}`;
      }
    });
  } else if (page.mode === 'tables' || page.mode === 'image')
    $('panels').append(
      make(
        'p',
        'card empty',
        'No charts: the renderer found neither plotly nor matplotlib. `pip install plotly` brings them; the table below has the numbers.',
      ),
    );
  if (page.mode !== 'plotly') $('table').open = true;
  if (Data.runs.size) {
    marks = Alerts.marks(shown());
    waiting.alerts = true;
    for (const r of Data.runs.values()) r.series.forEach((s) => waiting.touched.add(s.chart));
    plan();
  }
  if (all || !Data.run(page.session).inline) poll();
  else timer = setTimeout(poll, 60000);
  const ready = () => {
    Charts.settings.ready = true;
    controls();
    Charts.markAll();
    Charts.paint();
  };
  if (page.mode === 'plotly')
    library().then((there) => {
      if (there && window.Plotly) ready();
      else {
        say($('waiting'), 'The chart library is missing beside this page; the table below has the numbers.');
        $('waiting').hidden = false;
        $('table').open = true;
      }
    });
})();
