// The alerts by level: grouped by rule, with counts, first and last step, evidence and what to do; a press brings every chart there.
const Alerts = (() => {
  'use strict';
  const { $, make, button, icon, svg, short, count, many, clock, real } = Kit;
  const WORDS = { ERROR: ['Error', 'error', 'errors'], WARNING: ['Warning', 'warning', 'warnings'], INFO: ['Note', 'note', 'notes'] };
  const LEVELS = Object.keys(WORDS);
  const RANK = { firing: 0, ended: 1, resolved: 2 };
  const opened = new Set();
  let signature = '',
    every = false,
    last = [];

  const text = (v, most = 2000) => Kit.cut(String(v ?? ''), most);
  const level = (row) => (row.level in WORDS ? row.level : 'INFO');
  const words = (rule) => text(rule, 100).replaceAll('_', ' ');
  const keyOf = (run, row) => `${run.name}/${row.row || `${row.rule}/${row.producer}/${row.component}`}`;
  /** Rows of the runs, those to show now and those that were over longer than people want to see. */
  function rows(runs) {
    const found = [],
      older = [];
    for (const run of runs) {
      if (!run.alerts) continue;
      const end = run.manifest && run.manifest.state.ended,
        at = Math.min(Kit.now(), end && !run.active ? end : Infinity),
        keep = (run.alerts.retention_minutes ?? 30) * 60;
      for (const row of run.alerts.rows) {
        const held = Number.isFinite(row.last_time) ? row.last_time : row.resolved_at || 0;
        const item = { run, row: row.level in WORDS ? row : { ...row, level: 'INFO' }, key: keyOf(run, row) };
        (row.resolved_at && at - held > keep ? older : found).push(item);
      }
    }
    return { found, older };
  }
  /** [{level, groups: [{rule, items, silenced}]}]: an alert that another explains is folded under that one. */
  function arrange(items) {
    const explained = new Map(),
      top = [];
    for (const item of items) {
      const cause =
        item.row.silenced_by && items.find((o) => o.run === item.run && o.row.rule === item.row.silenced_by && !o.row.silenced_by);
      if (cause) {
        if (!explained.has(cause.key)) explained.set(cause.key, []);
        explained.get(cause.key).push(item);
      } else top.push(item);
    }
    return LEVELS.map((name) => {
      const groups = new Map();
      for (const item of top.filter((o) => o.row.level === name)) {
        const rule = String(item.row.rule);
        if (!groups.has(rule)) groups.set(rule, []);
        groups.get(rule).push({ ...item, silenced: explained.get(item.key) || [] });
      }
      const sorted = [...groups].map(([rule, list]) => ({
        rule,
        items: list.sort((p, q) => (RANK[p.row.state] ?? 0) - (RANK[q.row.state] ?? 0) || (q.row.timestamp || 0) - (p.row.timestamp || 0)),
      }));
      return { level: name, groups: sorted, count: top.filter((o) => o.row.level === name).length };
    }).filter((l) => l.count);
  }
  const steps = (row) => {
    const a = row.first_seen_step ?? row.first_step ?? row.step,
      b = row.last_step ?? row.step;
    if (!Number.isFinite(a) && !Number.isFinite(b)) return '';
    return Number.isFinite(a) && Number.isFinite(b) && a !== b
      ? `steps ${count(Math.min(a, b))} to ${count(Math.max(a, b))}`
      : `step ${count(Number.isFinite(b) ? b : a)}`;
  };
  function state(run, row) {
    if (row.state === 'resolved' || (row.resolved_at && row.state !== 'ended'))
      return row.resolved_at ? `resolved ${clock(row.resolved_at)}` : 'resolved';
    if (row.state === 'ended' || !run.active) return 'held to the end';
    return 'firing';
  }
  const over = (row) => row.state === 'resolved' || (row.resolved_at && row.state !== 'ended');

  /** Bring every chart to the alert: from its onset to its detection, with room on both sides. */
  function go(item, runs) {
    const at = View.ofAlert(item.row, item.run);
    if (!at) return;
    const [low, high] = View.extent(runs),
      width = Math.max(at.x1 - at.x0, (high - low) * 0.02),
      room = width * 0.75;
    View.look([Math.max(low, at.x0 - room), Math.max(at.x1 + room, at.x0 + width)], { ...at, level: level(item.row) });
    const chart = Panels.find(`${item.row.source}/${item.row.metric}`);
    if (chart) {
      const section = chart.root.closest('details');
      if (section) section.open = true;
      const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
      chart.root.scrollIntoView({ block: 'nearest', behavior: calm ? 'auto' : 'smooth' });
    }
  }
  function spark(row) {
    const e = row.evidence,
      values = (e && e.values ? e.values : []).map(real),
      xs = (e && e.steps) || [];
    const sound = values.filter(Number.isFinite);
    if (values.length < 2 || !sound.length) return null;
    const W = 268,
      H = 54,
      limit = real(row.threshold);
    let low = Math.min(...sound),
      high = Math.max(...sound);
    const wide = high - low || Math.abs(high) || 1,
      near = Number.isFinite(limit) && limit > low - wide && limit < high + wide;
    if (near) {
      low = Math.min(low, limit);
      high = Math.max(high, limit);
    }
    const x = (i) => 4 + (i / (values.length - 1)) * (W - 8),
      y = (v) => H - 6 - ((v - low) / (high - low || 1)) * (H - 12);
    const parts = [];
    if (near) parts.push(svg('line', { x1: 0, x2: W, y1: y(limit), y2: y(limit), class: 'limit' }));
    let path = '',
      pen = false;
    values.forEach((v, i) => {
      if (Number.isFinite(v)) {
        path += `${pen ? 'L' : 'M'}${x(i).toFixed(1)} ${y(v).toFixed(1)}`;
        pen = true;
      } else {
        pen = false;
        parts.push(svg('path', { d: `M${x(i) - 3} ${H - 9}l6 6m0-6l-6 6`, class: 'bad' }));
      }
    });
    parts.push(svg('path', { d: path, class: 'line' }));
    const end = values.length - 1;
    if (Number.isFinite(values[end])) parts.push(svg('circle', { cx: x(end), cy: y(values[end]), r: 2.6, class: 'end' }));
    const range = xs.length ? `, steps ${count(xs[0])} to ${count(xs[xs.length - 1])}` : '';
    return svg(
      'svg',
      {
        viewBox: `0 0 ${W} ${H}`,
        class: 'spark',
        role: 'img',
        'aria-label': `${text(e.metric || row.metric, 80)}: the last ${values.length} values${range}, from ${short(Math.min(...sound))} to ${short(Math.max(...sound))}`,
      },
      ...parts,
    );
  }
  function details(item, runs) {
    const { row, run } = item,
      facts = make('dl', 'facts');
    const fact = (name, value) => {
      if (value !== '' && value !== null && value !== undefined) facts.append(make('div', '', make('dt', '', name), make('dd', '', value)));
    };
    const num = (v) => (v === null || v === undefined ? '' : short(v));
    fact('Value', num(row.value));
    fact('Limit', num(row.threshold));
    fact('Usual', num(row.baseline));
    fact('Peak', num(row.peak));
    fact('Records', row.count > 1 ? count(row.count) : '');
    fact('Looked at', row.window ? many(row.window, 'record') : '');
    fact('Onset', Number.isFinite(row.onset_step) ? `step ${count(row.onset_step)}` : '');
    fact('Detected', Number.isFinite(row.step) ? `step ${count(row.step)}` : '');
    fact('Episodes', row.episodes > 1 ? count(row.episodes) : '');
    fact('Part', text(row.component, 80));
    const box = make('div', 'evidence');
    const curve = spark(row);
    if (curve) box.append(curve);
    box.append(facts);
    const says = Array.isArray(row.corroborating) ? row.corroborating : [];
    if (says.length)
      box.append(make('p', 'label', 'Other signals'), make('ul', 'signals', ...says.map((s) => make('li', '', text(s, 400)))));
    if (row.outcome) box.append(make('p', 'label', 'Outcome'), make('p', '', text(row.outcome)));
    if (row.action) box.append(make('p', 'label', 'Try'), make('p', 'action', text(row.action)));
    if (item.silenced && item.silenced.length)
      box.append(make('p', 'label', 'Explained by this'), make('ul', 'silenced', ...item.silenced.map((s) => alert(s, runs))));
    return box;
  }
  function alert(item, runs) {
    const { row, run, key } = item,
      open = opened.has(key);
    const li = make('li', `alert ${row.level} ${over(row) ? 'over' : ''}`);
    const when = [
      text(row.metric, 60),
      steps(row),
      row.episodes > 1 ? many(row.episodes, 'time') : '',
      Number.isFinite(row.timestamp) ? clock(row.timestamp) : '',
    ]
      .filter(Boolean)
      .join(' · ');
    const main = button('go', '', '', () => {
      go(item, runs());
      if (!opened.has(key)) {
        opened.add(key);
        show(runs, true);
      }
    });
    main.append(
      make('span', 'line', icon(row.level), make('span', 'rule', words(row.rule)), make('span', 'state', state(run, row))),
      make('span', 'says', text(row.message || row.metric)),
      make('span', 'when', runs().length > 1 ? `${run.name} · ${when}` : when),
    );
    main.title = 'Bring every chart there';
    const more = button(
      'more',
      open
        ? 'Hide evidence'
        : item.silenced && item.silenced.length
          ? `Evidence, and ${item.silenced.length} more explained by it`
          : 'Evidence',
      '',
      () => {
        if (open) opened.delete(key);
        else opened.add(key);
        show(runs, true);
      },
    );
    more.setAttribute('aria-expanded', String(open));
    li.append(main, more);
    if (open) li.append(details(item, runs));
    return li;
  }
  function group({ rule, items }, name, runs) {
    if (items.length === 1) return alert(items[0], runs);
    const key = `group/${name}/${rule}`,
      open = opened.has(key) || items.length <= 2;
    const bounds = items.flatMap(({ row }) => [row.first_seen_step ?? row.step, row.last_step ?? row.step]).filter(Number.isFinite);
    const fires = items.filter(({ row }) => !over(row)).length;
    const head = button('bunch', '', '', () => {
      if (opened.has(key)) opened.delete(key);
      else opened.add(key);
      show(runs, true);
    });
    head.append(
      make('span', 'line', icon(name), make('span', 'rule', words(rule)), make('span', 'times', `× ${items.length}`)),
      make(
        'span',
        'when',
        [
          bounds.length ? `steps ${count(Math.min(...bounds))} to ${count(Math.max(...bounds))}` : '',
          fires ? `${fires} not over` : 'all over',
        ]
          .filter(Boolean)
          .join(' · '),
      ),
    );
    head.setAttribute('aria-expanded', String(open));
    return make('li', `several ${name}`, head, open ? make('ul', '', ...items.slice(0, 60).map((item) => alert(item, runs))) : '');
  }
  /** Draw the alerts of the runs that `runs()` gives; nothing is touched while nothing changed. */
  function show(runs, force) {
    const { found, older } = rows(runs());
    const quietRuns = runs().filter((r) => r.manifest && r.active && r.manifest.services && r.manifest.services.analyzer === false);
    const now = JSON.stringify([
      found.map((o) => [o.key, o.row.state, o.row.level, o.row.count, o.row.episodes, o.row.last_step, o.run.active]),
      older.length,
      every,
      quietRuns.length,
      runs().length,
    ]);
    last = every ? [...found, ...older] : found;
    if (now === signature && !force) return false;
    signature = now;
    const focused =
      document.activeElement && $('alert-list').contains(document.activeElement)
        ? [...$('alert-list').querySelectorAll('button')].indexOf(document.activeElement)
        : -1;
    const parts = arrange(last).map(({ level: name, groups, count: n }) => {
      const heading = make('h3', name, `${count(n)} ${WORDS[name][n === 1 ? 1 : 2]}`);
      return make('section', `level ${name}`, heading, make('ul', '', ...groups.map((g) => group(g, name, runs))));
    });
    if (!last.length)
      parts.push(
        make(
          'p',
          'quietly',
          quietRuns.length
            ? 'None known. The analyzer is not running, so nobody is looking.'
            : older.length
              ? 'Nothing fires.'
              : 'None so far.',
        ),
      );
    const untold = runs().reduce((n, r) => n + ((r.alerts && r.alerts.left_out) || 0), 0);
    if (untold) parts.push(make('p', 'quietly', `${count(untold)} more ${untold === 1 ? 'is' : 'are'} in the file of alerts.`));
    if (older.length)
      parts.push(
        button('tool', every ? 'Hide older ones' : `Show ${older.length} older, resolved`, '', () => {
          every = !every;
          show(runs, true);
        }),
      );
    $('alert-list').replaceChildren(...parts);
    if (focused >= 0) {
      const b = $('alert-list').querySelectorAll('button')[focused];
      if (b) b.focus();
    }
    const firing = LEVELS.map((name) => [
      name,
      found.filter((o) => o.row.level === name && !over(o.row) && !o.row.silenced_by).length,
    ]).filter(([, n]) => n);
    $('levels').replaceChildren(
      ...firing.map(([name, n]) => {
        const a = make('a', `badge ${name}`, icon(name), `${n} ${WORDS[name][n === 1 ? 1 : 2]}`);
        a.href = '#alerts';
        a.addEventListener('click', (e) => {
          e.preventDefault();
          $('alerts').scrollIntoView({ block: 'start' });
          $('alerts').focus();
        });
        return a;
      }),
    );
    if (!firing.length && runs().some((r) => r.manifest))
      $('levels').replaceChildren(make('span', 'hint', quietRuns.length ? '' : 'no alerts fire'));
    $('main').classList.toggle('alerted', last.length > 0 || older.length > 0 || quietRuns.length > 0);
    $('alerts').hidden = !$('main').classList.contains('alerted');
    return true;
  }
  /** The next or previous alert by its place in time, for the keyboard. */
  let at = -1;
  function step(by, runs) {
    const list = [...last].sort((p, q) => (p.row.timestamp || 0) - (q.row.timestamp || 0));
    if (!list.length) return;
    at = (((at + by) % list.length) + list.length) % list.length;
    opened.add(list[at].key);
    go(list[at], runs());
    show(runs, true);
  }
  /** Alerts as marks on the charts of `runs`. */
  const marks = (runs) => {
    const { found, older } = rows(runs);
    return [...older, ...found];
  };
  return { WORDS, LEVELS, show, marks, step, rows, arrange };
})();
