// Which charts there are: four panels that claim the metrics everybody has, by their names and aliases as in `renderer/panels.py`,
// then a section for each other group; searchable, and kept in place while new metrics arrive.
const Panels = (() => {
  'use strict';
  const { $, make, say, choice, chooseIn } = Kit;
  const LOSSES = ['loss', 'total_loss', 'train_loss', 'training_loss', 'val_loss', 'validation_loss', 'eval_loss', 'test_loss'];
  const RATES = ['learning_rate', 'lr'];
  const NORMS = ['grad_norm', 'gradient_norm'];
  const ZEROS = ['grad_zeros_ratio', 'zeros_ratio', 'zero_ratio'];
  const REWARDS = ['episode_reward', 'reward', 'mean_reward', 'episode_return'];
  const LENGTHS = ['episode_length'];
  const USUAL = ['policy_loss', 'policy_gradient_loss', 'value_loss', 'entropy', 'entropy_loss', 'explained_variance'];
  const FOURTH = 6;
  const short = (v) => Kit.short(v, 3);
  const PARTS = [
    {
      id: 'loss',
      title: 'Loss and learning rate',
      empty: 'No loss or learning rate has been logged yet.',
      charts: [
        { id: 'loss', title: 'Loss', names: LOSSES, of: ['training', 'convergence', 'performance'], trend: true },
        { id: 'rate', title: 'Learning rate', names: RATES, of: ['training'], small: true },
      ],
    },
    {
      id: 'gradients',
      title: 'Gradient health',
      empty: 'No gradient information has been logged yet.',
      charts: [
        {
          id: 'norm',
          title: 'Gradient norm',
          names: NORMS,
          of: ['gradients', 'training'],
          log: true,
          lines: (s) =>
            [
              { y: s.gradient_threshold_high, text: `high ${short(s.gradient_threshold_high)}` },
              { y: s.gradient_threshold_low, text: `low ${short(s.gradient_threshold_low)}` },
            ].filter((l) => l.y > 0),
        },
        {
          id: 'zeros',
          title: 'Zero gradients',
          names: ZEROS,
          of: ['gradients', 'training'],
          small: true,
          percent: true,
          lines: (s) => [{ y: s.zeros_ratio_threshold, text: 'limit' }].filter((l) => l.y > 0),
        },
      ],
    },
    {
      id: 'rewards',
      title: 'Reward per episode',
      empty: 'No episode has been logged yet.',
      charts: [
        { id: 'reward', title: 'Reward', names: REWARDS, of: ['rewards'], second: true },
        { id: 'length', title: 'Episode length', names: LENGTHS, of: ['rewards'], small: true },
      ],
    },
  ];
  const SECTIONS = { performance: 'System performance', convergence: 'Convergence' };

  /** The charts of `runs`: {panels: [{id, title, empty, specs}], sections: [{id, title, specs}]}. Pure. */
  function plan(runs) {
    const known = new Map(); // chart key -> {category, metric, group}
    for (const run of runs) for (const s of run.series.values()) if (!known.has(s.chart)) known.set(s.chart, s);
    const claimed = new Set();
    const claim = (part) => {
      const keys = part.names
        .flatMap((name) => part.of.map((category) => `${category}/${name}`))
        .filter((key) => known.has(key) && !claimed.has(key));
      keys.forEach((key) => claimed.add(key));
      const title = keys.length === 1 ? known.get(keys[0]).metric : part.title;
      return keys.length ? [{ ...part, keys, title, id: `panel/${part.id}`, words: `${part.title} ${keys.join(' ')}` }] : [];
    };
    const panels = PARTS.map((p) => ({ ...p, specs: p.charts.flatMap(claim) }));
    const own = (s, more) => ({
      id: s.chart,
      title: s.category === 'training' || s.category in SECTIONS ? s.metric : `${s.metric} (${s.category})`,
      keys: [s.chart],
      words: `${s.chart} ${s.group}`,
      ...more,
    });
    const left = () => [...known.values()].filter((s) => !claimed.has(s.chart));
    const fourth = [];
    for (const name of USUAL)
      for (const s of left())
        if (s.metric === name) {
          fourth.push(own(s, { half: true }));
          claimed.add(s.chart);
        }
    for (const s of left())
      if (fourth.length < FOURTH && s.category === 'training' && s.group === 'training') {
        fourth.push(own(s, { half: true }));
        claimed.add(s.chart);
      }
    panels.push({ id: 'metrics', title: 'Training metrics', empty: 'No other training metric has been logged yet.', specs: fourth });
    const sections = new Map();
    for (const s of left()) {
      const id = s.category in SECTIONS ? s.category : s.group;
      if (!sections.has(id)) sections.set(id, { id, title: SECTIONS[id] || (id === 'training' ? 'Training, other' : id), specs: [] });
      sections.get(id).specs.push(own(s, { grid: true }));
    }
    const rank = (s) => (s.id === 'performance' ? 0 : s.id === 'convergence' ? 1 : 2);
    const ordered = [...sections.values()].sort((p, q) => rank(p) - rank(q) || (p.title < q.title ? -1 : 1));
    for (const s of ordered) s.specs.sort((p, q) => (p.title < q.title ? -1 : p.title > q.title ? 1 : 0));
    return { panels, sections: ordered };
  }

  let query = [],
    shape = '';
  const boxes = new Map(); // panel or section id -> {root, body, ...}
  /** Put `children` into `parent` in that order, moving nothing that stands right: a moved chart loses its scroll and hover. */
  function arrange(parent, children) {
    children.forEach((child, i) => {
      if (parent.children[i] !== child) parent.insertBefore(child, parent.children[i] || null);
    });
    while (parent.children.length > children.length) parent.lastElementChild.remove();
  }
  function panelBox(p) {
    if (!boxes.has(p.id)) {
      const head = make('h2', '', p.title),
        body = make('div', 'body'),
        empty = make('p', 'empty', p.empty);
      const root = make('section', `card panel ${p.id}`, make('header', 'head', head), body, empty);
      root.dataset.panel = p.id;
      boxes.set(p.id, { root, body, empty });
    }
    return boxes.get(p.id);
  }
  function sectionBox(s) {
    const key = `section/${s.id}`;
    if (!boxes.has(key)) {
      const body = make('div', 'grid'),
        hint = make('span', 'hint'),
        summary = make('summary', '', make('h2', '', s.title), hint),
        root = make('details', 'section', summary, body);
      root.dataset.section = s.id;
      root.open = !(choice('closed', {})[s.id] ?? s.specs.length > 60);
      summary.addEventListener('click', () => {
        if (!query.length) chooseIn('closed', s.id, root.open);
      });
      boxes.set(key, { root, body, hint });
    }
    return boxes.get(key);
  }
  function chartOf(spec) {
    const known = Charts.charts.get(spec.id);
    if (known) {
      known.spec = { ...known.spec, keys: spec.keys, words: spec.words };
      if (known.spec.title !== spec.title) {
        known.spec.title = spec.title;
        say(known.name, spec.title);
      }
      return known;
    }
    const made = new Charts.Chart(spec);
    if (spec.half) made.root.classList.add('half');
    return made;
  }
  /** Bring the page's charts in line with the series of `runs`. Cheap when nothing new has appeared. */
  function update(runs, force) {
    const now = runs.map((r) => `${r.name}:${r.shape}`).join();
    if (now === shape && !force) return;
    shape = now;
    const { panels, sections } = plan(runs);
    const keep = new Set();
    const fill = (box, specs) => {
      arrange(
        box.body,
        specs.map((spec) => {
          keep.add(spec.id);
          return chartOf(spec).root;
        }),
      );
      box.specs = specs;
    };
    for (const p of panels) {
      const box = panelBox(p);
      fill(box, p.specs);
      box.empty.hidden = p.specs.length > 0;
    }
    arrange(
      $('panels'),
      panels.map((p) => boxes.get(p.id).root),
    );
    for (const s of sections) fill(sectionBox(s), s.specs);
    arrange(
      $('sections'),
      sections.map((s) => boxes.get(`section/${s.id}`).root),
    );
    for (const chart of [...Charts.charts.values()]) if (!keep.has(chart.id)) chart.remove();
    for (const key of [...boxes.keys()]) if (key.startsWith('section/') && !boxes.get(key).root.isConnected) boxes.delete(key);
    filter();
  }
  /** Show the charts whose name, category or group holds every word of the search. */
  function filter(text) {
    if (text !== undefined) query = text.toLowerCase().split(/\s+/).filter(Boolean);
    let all = 0,
      hits = 0;
    for (const [key, box] of boxes) {
      let here = 0;
      for (const spec of box.specs || []) {
        const chart = Charts.charts.get(spec.id),
          words = `${spec.title} ${spec.words}`.toLowerCase(),
          hit = query.every((word) => words.includes(word));
        all++;
        if (hit) {
          hits++;
          here++;
        }
        if (chart) chart.root.hidden = !hit;
      }
      box.root.hidden = query.length > 0 && !here;
      if (box.hint) {
        say(
          box.hint,
          query.length ? `${here} of ${box.specs.length}` : `${box.specs.length} ${box.specs.length === 1 ? 'chart' : 'charts'}`,
        );
        const id = key.slice('section/'.length);
        box.root.open = query.length ? here > 0 : !(choice('closed', {})[id] ?? box.specs.length > 60);
      }
    }
    say($('hits'), query.length ? `${hits} of ${all}` : '');
    $('nothing').hidden = !(query.length && !hits);
    return hits;
  }
  /** The chart that shows a metric of a category, if one does. */
  const find = (key) => [...Charts.charts.values()].find((chart) => chart.spec.keys.includes(key));
  return { plan, update, filter, find, arrange };
})();
