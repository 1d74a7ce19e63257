// Keys: each does one thing, and none does anything while somebody types.
const Keys = (() => {
  'use strict';
  const { $ } = Kit;

  /** Do `act` with the chart in focus, else with the one under the pointer. */
  function chart(act) {
    const root = document.activeElement && document.activeElement.closest('.chart');
    const at = root || document.querySelector('.chart:hover');
    if (at) act(Charts.charts.get(at.dataset.chart));
  }
  /** Listen for `keys`: {key: act}; Escape in the search empties it (`unsearch`). */
  function listen(keys, unsearch) {
    addEventListener('keydown', (e) => {
      if (e.ctrlKey || e.metaKey || e.altKey || $('keys').open) return;
      const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName) && e.target.type !== 'checkbox';
      if (typing) {
        if (e.key === 'Escape') {
          e.target.blur();
          if (e.target.id === 'search') {
            e.target.value = '';
            unsearch();
          }
        }
        return;
      }
      const act = keys[e.key];
      if (!act || (e.target.closest('.sheet') && e.key.startsWith('Arrow'))) return;
      e.preventDefault();
      act();
    });
  }
  return { chart, listen };
})();
