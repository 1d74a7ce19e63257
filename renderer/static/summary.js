// Every metric of a run in one table: the page's end, and all of it where nothing draws charts.
const Summary = (() => {
  'use strict';
  const { $, make, say } = Kit;

  /** The table of `run`, or none; its rows are made while it is open. */
  function show(run) {
    const box = $('table');
    box.hidden = !run || !run.series.size;
    if (box.hidden) return;
    const series = [...run.series.values()];
    say($('table-count'), `${series.length} series`);
    if (!box.open) return;
    const rows = series.slice(0, 500).map((s) => {
      const st = s.stat() || [],
        cell = (v) => make('td', '', v),
        bad = make('td', st[1] ? 'bad' : '', Kit.count(st[1] ?? 0));
      return make(
        'tr',
        '',
        cell(s.category),
        cell([s.metric, s.component, s.child ? `child ${s.producer.slice(-4)}` : ''].filter(Boolean).join(' · ')),
        cell(Kit.count(st[0])),
        bad,
        ...[2, 3, 4, 6, 8, 9].map((i) => cell(Kit.short(st[i]))),
      );
    });
    const table = box.querySelector('table');
    table.tHead.replaceChildren(
      make(
        'tr',
        '',
        ...['Category', 'Metric', 'Records', 'Not finite', 'First', 'Last', 'Lowest', 'Highest', 'Mean', 'Mean of last tenth'].map((h) => {
          const th = make('th', '', h);
          th.scope = 'col';
          return th;
        }),
      ),
    );
    table.tBodies[0].replaceChildren(...rows);
    const texts = Object.entries(run.texts);
    $('texts').replaceChildren(
      ...(texts.length
        ? [make('dl', 'said', ...texts.flatMap(([name, value]) => [make('dt', '', name), make('dd', '', String(value))]))]
        : []),
    );
  }
  return { show };
})();
