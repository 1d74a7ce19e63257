"""The page of all runs in a real browser: which are shown, how they are told apart."""

from __future__ import annotations

import time

import pytest
from browser_page import BrowserPage
from one_page import CALM, LOSS, one
from page_fixture import Written, learning, write_page, write_runs

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


def three(opened: BrowserPage) -> list[Written]:
    runs = []
    for seed in (1, 2, 3):
        run = one(opened, name=f"ppo_seed{seed}_20260101_10000{seed}")
        learning(run, 200 + 100 * seed, seed, custom=False)
        if seed == 2:
            run.alert(level="ERROR", rule="gradient_explosion")
        run.write()
        runs.append(run)
    other = one(opened, name="dqn")
    other.state.update(name="finished", active=False, started=time.time() - 9000)
    learning(other, 250, 7, custom=False)
    other.write()
    return [*runs, other]


def test_runs_are_compared(opened: BrowserPage) -> None:
    """Overlay, filter, sort, groups of seeds as mean and band, the latest alone: charts and table follow."""
    runs = three(opened)
    write_runs(opened.base, runs, CALM)
    opened.open(write_page(opened.base, None))
    names = "[...document.querySelectorAll('#runs tbody tr')].map((r) => r.dataset.run)"
    opened.shows(f"{names}.length", 4)
    curves = "(Charts.charts.get('panel/loss') || {}).figure?.curves.map((c) => c.run.name)"
    opened.shows(f"({curves} || []).length", 3)
    assert "1" in opened.text("tr[data-run=ppo_seed2_20260101_100002] .badge.ERROR")
    opened.do("const s = document.getElementById('compare'); s.value = 'training/loss'; s.dispatchEvent(new Event('change'))")  # fmt: skip
    opened.do("[...document.querySelectorAll('#runs .sort')].find((b) => b.textContent === 'Best').click()")
    best = "[...document.querySelectorAll('#runs td.best')].map((d) => Number(d.textContent.replace('\\u2212', '-')))"
    opened.shows(f"{best}.length", 4)
    found = opened.js(best)
    assert found == sorted(found, reverse=True)
    opened.do("document.querySelector('tr[data-run=dqn] input[type=checkbox]').click()")
    opened.shows(f"{curves}.length", 4)
    opened.do("const f = document.getElementById('filter'); f.value = 'ppo'; f.dispatchEvent(new Event('input'))")
    opened.shows(f"{curves}.length", 3)
    opened.shows(f"{names}.length", 3)
    opened.do("document.getElementById('group').click()")
    opened.shows(f"{LOSS}.bands.length", 1)
    assert opened.js(f"{LOSS}.bands[0].name") == "ppo"
    middle = opened.js(f"((g) => [g.low[120], g.mean[120], g.high[120], g.n[120]])({LOSS}.bands[0])")
    assert middle[0] < middle[1] < middle[2] and middle[3] >= 2
    opened.do("const s = document.getElementById('seeds'); s.value = '_.*'; s.dispatchEvent(new Event('input'))")
    opened.shows(f"{LOSS}.bands.length", 1)
    opened.do("document.getElementById('group').click(); document.getElementById('latest').click()")
    opened.shows(f"{curves}.length", 1)
    opened.sound()


def test_colours_of_runs_are_kept_and_can_be_chosen(opened: BrowserPage) -> None:
    """A run keeps its colour when others come, and over a reload; one chosen by hand wins."""
    runs = three(opened)
    write_runs(opened.base, runs[1:], CALM)
    tones = "Object.fromEntries(Charts.charts.get('panel/loss').figure.curves.map((c) => [c.run.name, c.tone]))"
    path = write_page(opened.base, None)
    opened.open(path)
    opened.shows("(Charts.charts.get('panel/loss') || {}).figure?.curves.length >= 2")
    before = opened.js(tones)
    write_runs(opened.base, runs, CALM)
    opened.open(path)
    opened.shows("(Charts.charts.get('panel/loss') || {}).figure?.curves.length >= 3")
    after = opened.js(tones)
    assert all(after[name] == tone for name, tone in before.items() if name in after)
    assert len(set(after.values())) == len(after)
    opened.do(f"const p = document.querySelector('tr[data-run={runs[0].name}] .pick'); p.value = '#123456'; p.dispatchEvent(new Event('change'))")  # fmt: skip
    opened.shows(f"({tones})[{runs[0].name!r}]", "#123456")
