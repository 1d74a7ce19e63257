// The head of the page: how things stand, said honestly, and counting while nobody writes.
const Head = (() => {
  'use strict';
  const { $, make, say, count, many, ago, lasting, clock, now } = Kit;
  const WORDS = { running: 'running', stalled: 'stalled', finished: 'finished', crashed: 'crashed' };
  const tiles = new Map();

  function tell(name, text, bad, label = name) {
    let box = tiles.get(name);
    if (!box) {
      box = make('div', '', make('dt', '', name), make('dd'));
      $('tiles').append(box);
      tiles.set(name, box);
    }
    say(box.firstChild, label);
    say(box.lastChild, text);
    box.className = bad ? 'bad' : '';
  }
  const rate = (r) => (!Number.isFinite(r) ? '–' : r >= 100 ? count(Math.round(r)) : r >= 10 ? r.toFixed(1) : r.toFixed(2));

  /** What the reader must know about a run's state: {word, look, text, warnings: [text]}. Pure but for the time `at`. */
  function standing(m, at) {
    const s = m.state,
      late = s.active && Data.overdue(m.written, m.refresh) > 0 ? at - m.written : 0;
    const word = WORDS[s.name] || String(s.name),
      warnings = [];
    const quiet = Number.isFinite(s.last_record) ? at - s.last_record : null;
    let text = String(s.text || '');
    if (s.name === 'stalled' && quiet !== null) text = `Last record ${ago(quiet)}. ${text}`;
    if (s.error && !text.includes(s.error)) text = text ? `${text}: ${s.error}` : String(s.error);
    if (late) {
      return {
        word: 'not updating',
        look: 'stale',
        late,
        text: `The renderer is not running: this page shows the state of ${clock(m.written)}, ${ago(late)}; the run was ${word} then.`,
        warnings,
      };
    }
    const services = m.services || {};
    if (s.active && services.analyzer === false) warnings.push('The analyzer is not running: alerts are not being looked for.');
    if (s.active && services.collector === false)
      warnings.push('The collector is not running: the trainer keeps its records, and they arrive here when it is back.');
    return { word, look: s.name in WORDS ? s.name : 'finished', late: 0, text, warnings };
  }
  /** The head of a session's page. */
  function session(run) {
    const m = run.manifest,
      at = now();
    if (!m) {
      say($('pill'), run.missing > 2 ? 'no data' : 'loading');
      $('pill').className = 'pill stale';
      say(
        $('reason'),
        run.missing > 2
          ? 'The renderer has written nothing for this session yet, or its files were deleted. Start it with `avaliacoes up`.'
          : '',
      );
      return;
    }
    const s = m.state,
      how = standing(m, at);
    say($('pill'), how.word);
    $('pill').className = `pill ${how.look}`;
    say($('reason'), how.text);
    document.title = `${run.name} · ${how.word}`;
    tell('Step', count(m.step));
    tell('Records', count(m.records));
    tell('Records/s', rate(m.rate), false, s.active ? 'Records/s' : 'Records/s, mean');
    tell('Last record', Number.isFinite(s.last_record) ? ago(at - s.last_record) : 'none yet');
    tell('Running time', Number.isFinite(s.started) ? lasting((s.ended ?? (how.late ? m.written : at)) - s.started) : '–');
    if (m.dropped > 0) tell('Dropped', count(m.dropped), true);
    notes([...how.warnings, ...(m.notes || [])]);
    const f = m.facts || {},
      from = [f.host && `on ${f.host}`, f.script && `by ${f.script}`, f.python && `Python ${f.python}`].filter(Boolean).join(', ');
    say($('foot'), `${from ? `Recorded ${from}. ` : ''}Data as of ${clock(m.written)}. Nothing on this page leaves this computer.`);
    const empty = !run.series.size;
    $('waiting').hidden = !empty;
    $('main').hidden = empty && !(run.alerts && run.alerts.rows.length);
    if (empty)
      say(
        $('waiting'),
        run.at < 0
          ? 'Loading…'
          : s.active
            ? 'Waiting for records. This page fills by itself as soon as the first ones are there.'
            : 'This session has logged no metrics.',
      );
  }
  function notes(texts) {
    const list = $('notes'),
      key = texts.join('\n');
    if (list.dataset.key === key) return;
    list.dataset.key = key;
    list.hidden = !texts.length;
    list.replaceChildren(...texts.map((t) => make('li', '', Kit.cut(String(t), 500))));
  }
  /** The head of the page of all runs. */
  function folder(listing, shown) {
    const at = now();
    say($('pill'), '');
    $('pill').className = 'pill none';
    if (!listing.runs) {
      say($('reason'), 'Waiting for the renderer to list the runs of this folder.');
      return;
    }
    const active = listing.runs.filter((r) => r.state && r.state.active).length,
      late = Data.overdue(listing.written, listing.refresh);
    say(
      $('reason'),
      `${many(listing.runs.length, 'run')}, ${count(active)} active, ${count(shown.length)} in the charts.`,
    );
    const warnings =
      active && late && listing.runs.length
        ? [`The renderer is not running: this list is of ${clock(listing.written)}, ${ago(at - listing.written)}.`]
        : [];
    const blind = shown.filter((r) => r.manifest && r.active && r.manifest.services && r.manifest.services.analyzer === false);
    if (blind.length) warnings.push('The analyzer is not running: alerts are not being looked for.');
    notes(warnings);
    $('waiting').hidden = listing.runs.length > 0;
    if (!listing.runs.length) say($('waiting'), 'No runs in this folder yet. They appear here as soon as one begins.');
    $('main').hidden = !shown.some((r) => r.series.size);
    say($('foot'), `List as of ${clock(listing.written)}. Nothing on this page leaves this computer.`);
  }
  return { session, folder, standing, rate };
})();
