// The page of all runs of a folder: a table to sort, filter and choose from, groups of seeds, and which runs the charts overlay.
const Runs = (() => {
  'use strict';
  const { $, make, button, say, tell, short, count, ago, choice, choose, chooseIn, now } = Kit;
  const SEED = '[-_.]?(?:seed|s|run|trial|rep)[-_.]?\\d+(?=$|[-_.])|[-_.]?\\d{8}_\\d{6}(?:[-_.]\\d+)?';
  const MOST = 8;
  const state = {
    chosen: null,
    filter: '',
    latest: choice('latest', false),
    group: choice('group', false),
    sort: choice('sort', ['started', -1]),
    metric: choice('compare', ''),
    regex: choice('seeds', SEED),
  };
  let known = null,
    change = () => {},
    pattern = compile(state.regex),
    signature = '';

  function compile(text) {
    try {
      return new RegExp(text, 'gi');
    } catch {
      return null;
    }
  }
  /** The name of the group that a run belongs to: its own without seed and time. */
  function groupOf(name) {
    return pattern ? name.replace(pattern, '') || name : name;
  }
  const words = () => state.filter.toLowerCase().split(/\s+/).filter(Boolean);
  const matches = (name) => words().every((w) => name.toLowerCase().includes(w));
  const listed = () => Data.listing.runs || [];
  const newest = () =>
    listed()
      .filter((r) => r.live !== false)
      .sort((p, q) => (q.started || 0) - (p.started || 0));
  /** Names of the runs to draw: chosen by hand, else the newest one, or those active, or the newest few; of them, those that match. */
  function shown() {
    const key = [Data.listing.runs, state.latest, state.chosen, state.filter];
    if (!known || key.some((part, i) => part !== known.key[i])) known = { key, names: select() };
    return known.names;
  }
  function select() {
    const there = new Set(
      listed()
        .filter((r) => r.live !== false)
        .map((r) => r.session),
    );
    let names;
    if (state.latest)
      names = newest()
        .slice(0, 1)
        .map((r) => r.session);
    else if (state.chosen) names = state.chosen.filter((n) => there.has(n));
    else {
      const active = newest()
        .filter((r) => r.state && r.state.active)
        .map((r) => r.session);
      names =
        active.length > 1
          ? active.slice(0, 5)
          : newest()
              .slice(0, 4)
              .map((r) => r.session);
    }
    return names.filter(matches).slice(0, MOST);
  }
  function pick(name, on) {
    const names = new Set(shown());
    if (on) names.add(name);
    else names.delete(name);
    state.chosen = [...(state.chosen || []).filter((n) => !matches(n)), ...names];
    state.latest = false;
    choose('latest', false);
    View.put('runs', state.chosen.join());
    update();
    change();
  }
  const key = (m) => [m.category, m.metric, m.component].filter(Boolean).join('/');
  /** Metrics of all runs, those with a direction first. */
  function metrics() {
    const found = new Map();
    for (const r of listed())
      for (const m of r.metrics || []) {
        const k = key(m),
          known = found.get(k);
        found.set(k, { key: k, better: m.better || (known && known.better), runs: ((known && known.runs) || 0) + 1 });
      }
    return [...found.values()].sort((p, q) => !!q.better - !!p.better || q.runs - p.runs || (p.key < q.key ? -1 : 1));
  }
  /** What runs are compared by until somebody chooses: their reward, else their loss, else whatever has a direction. */
  const usual = (all) =>
    [/(^|\/)(episode_reward|reward|mean_reward|episode_return)$/, /reward|return/, /(^|\/)loss$/, /./]
      .map((name) => all.find((m) => name.test(m.key)))
      .find(Boolean);
  /** One line of the table as plain values; numbers sort, `null` comes last. */
  function line(r) {
    const m = (r.metrics || []).find((one) => key(one) === state.metric),
      s = m && m.stat ? m.stat.map(Kit.real) : [];
    const best = m && m.better === 'min' ? [s[4], s[5]] : m && m.better === 'max' ? [s[6], s[7]] : [null, null];
    const alerts = r.alerts || {};
    return {
      session: r.session,
      state: (r.state && r.state.name) || '',
      step: r.step ?? null,
      last_record: r.last_record ?? null,
      started: r.started ?? null,
      last: s[3] ?? null,
      best: best[0] ?? null,
      at: best[1] ?? null,
      tenth: s[9] ?? null,
      alerts: (alerts.ERROR || 0) * 1e6 + (alerts.WARNING || 0) * 1e3 + (alerts.INFO || 0),
      counts: alerts,
      active: !!(r.state && r.state.active),
      run: r,
    };
  }
  const COLUMNS = [
    ['session', 'Run'],
    ['state', 'State'],
    ['step', 'Step'],
    ['started', 'Started'],
    ['last_record', 'Last record'],
    ['last', 'Last'],
    ['best', 'Best'],
    ['at', 'at step'],
    ['tenth', 'Mean of last tenth'],
    ['alerts', 'Alerts'],
  ];
  function order(p, q) {
    const [by, way] = state.sort,
      a = p[by],
      b = q[by],
      none = (v) => v === null || v === undefined || Number.isNaN(v);
    if (none(a) || none(b)) return none(a) - none(b);
    return (a < b ? -1 : a > b ? 1 : 0) * way || (p.session < q.session ? -1 : 1);
  }
  function heads() {
    return COLUMNS.map(([id, label]) => {
      const th = make('th', id),
        b = button('sort', label, '', () => {
          state.sort = [id, state.sort[0] === id ? -state.sort[1] : id === 'session' || id === 'state' ? 1 : -1];
          choose('sort', state.sort);
          update(true);
        });
      th.scope = 'col';
      tell(th, 'aria-sort', state.sort[0] === id ? (state.sort[1] > 0 ? 'ascending' : 'descending') : 'none');
      th.append(b);
      return th;
    });
  }
  /** Cells of a row that change while a run goes on, by column in the order of the table. */
  const said = (l) => ({
    step: count(l.step),
    started: l.started === null ? '–' : Kit.clock(l.started),
    last_record: l.last_record === null ? '–' : ago(now() - l.last_record),
    last: short(l.last),
    best: short(l.best),
    at: l.at === null ? '–' : count(l.at),
    tenth: short(l.tenth),
  });
  function row(l, on) {
    const tr = make('tr', on ? 'on' : ''),
      name = l.session,
      box = make('input'),
      swatch = make('input', 'pick'),
      id = state.group ? groupOf(name) : name;
    box.type = 'checkbox';
    box.checked = on;
    box.disabled = l.run.live === false;
    if (box.disabled) {
      box.title = 'Its curves are on its own page';
      tr.classList.add('thin');
    }
    box.setAttribute('aria-label', `Show ${name} in the charts`);
    box.addEventListener('change', () => pick(name, box.checked));
    swatch.type = 'color';
    swatch.value = Kit.colour(id, on);
    swatch.setAttribute('aria-label', `Colour of ${id}`);
    swatch.title = 'Colour; double-click for the usual one';
    swatch.addEventListener('change', () => {
      chooseIn('colours', id, swatch.value);
      Kit.themes.forEach((f) => f());
      update(true);
    });
    swatch.addEventListener('dblclick', (e) => {
      e.preventDefault();
      chooseIn('colours', id, undefined);
      Kit.themes.forEach((f) => f());
      update(true);
    });
    const link = make('a', '', name);
    link.href = `dashboard_${encodeURIComponent(name)}.html`;
    const pill = make('span', `pill ${l.state}`, l.state),
      alerts = make('td', 'alerts');
    for (const level of Alerts.LEVELS)
      if (l.counts[level]) {
        const b = make('span', `badge ${level}`, Kit.icon(level), count(l.counts[level]));
        b.title = `${l.counts[level]} ${Alerts.WORDS[level][l.counts[level] === 1 ? 1 : 2]} firing`;
        alerts.append(b, make('span', 'unseen', Alerts.WORDS[level][l.counts[level] === 1 ? 1 : 2]));
      }
    tr.append(
      make('td', 'session', make('span', 'who', box, swatch, link)),
      make('td', 'state', pill),
      ...Object.entries(said(l)).map(([id, text]) => make('td', id, text)),
      alerts,
    );
    return tr;
  }
  /** Draw the table anew where a row or its place changed; numbers alone are told in place. */
  function update(force) {
    const all = metrics();
    if (!state.metric || !all.some((m) => m.key === state.metric)) state.metric = (usual(all) || { key: '' }).key;
    const select = $('compare'),
      options = all.map((m) => m.key).join('\n');
    if (select.dataset.key !== options) {
      select.dataset.key = options;
      select.replaceChildren(
        ...all.map((m) => {
          const o = make('option', '', Kit.cut(m.key, 80) + (m.better ? ` (best: ${m.better === 'max' ? 'highest' : 'lowest'})` : ''));
          o.value = m.key;
          return o;
        }),
      );
      select.value = state.metric;
    }
    const on = new Set(shown()),
      lines = listed()
        .filter((r) => matches(r.session))
        .map(line)
        .sort(order);
    const key = JSON.stringify([
      lines.map((l) => [l.session, l.state, l.run.live, l.alerts]),
      [...on],
      state.sort,
      state.metric,
      state.group,
      state.regex,
    ]);
    if (key === signature && !force) {
      const { rows } = $('runs').tBodies[0];
      for (let i = 0; i < rows.length; i++) for (const [id, text] of Object.entries(said(lines[i]))) say(rows[i].querySelector(`.${id}`), text);
      return;
    }
    signature = key;
    const table = $('runs'),
      held = document.activeElement,
      inside = held && table.contains(held) ? [...table.querySelectorAll('a, button, input')].indexOf(held) : -1;
    if (held && held.type === 'color' && !force) {
      signature = '';
      return;
    }
    table.tHead.replaceChildren(make('tr', '', ...heads()));
    table.tBodies[0].replaceChildren(
      ...lines.slice(0, 500).map((l) => {
        const tr = row(l, on.has(l.session));
        tr.dataset.run = l.session;
        return tr;
      }),
    );
    if (inside >= 0) {
      const again = table.querySelectorAll('a, button, input')[inside];
      if (again) again.focus();
    }
    say(
      $('run-count'),
      lines.length === listed().length ? `${count(lines.length)}` : `${count(lines.length)} of ${count(listed().length)}`,
    );
    tell($('latest'), 'aria-pressed', String(state.latest));
    tell($('group'), 'aria-pressed', String(state.group));
    $('seeds-box').hidden = !state.group;
    $('seeds').classList.toggle('wrong', !pattern);
    document.querySelectorAll('#listing .head-metric').forEach((e) => say(e, state.metric));
  }
  function start(changed) {
    change = changed;
    const given = View.get('runs');
    if (given) state.chosen = given.split(',').filter(Boolean);
    state.filter = View.get('f') || '';
    $('listing').hidden = false;
    $('filter').value = state.filter;
    $('filter').addEventListener('input', () => {
      state.filter = $('filter').value;
      View.put('f', state.filter);
      update(true);
      change();
    });
    $('compare').addEventListener('change', () => {
      state.metric = $('compare').value;
      choose('compare', state.metric);
      update(true);
    });
    $('latest').addEventListener('click', () => {
      state.latest = !state.latest;
      choose('latest', state.latest);
      update(true);
      change();
    });
    $('group').addEventListener('click', () => {
      state.group = !state.group;
      choose('group', state.group);
      update(true);
      change();
    });
    $('seeds').value = state.regex;
    $('seeds').addEventListener('input', () => {
      state.regex = $('seeds').value || SEED;
      pattern = compile(state.regex);
      choose('seeds', state.regex === SEED ? undefined : state.regex);
      update(true);
      change();
    });
    update(true);
  }
  return { state, shown, start, update, groupOf, line, metrics };
})();
