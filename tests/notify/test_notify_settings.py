"""What `[notify]` may say, and that its refusals help without telling secrets."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest

from analyzer.notify import settings
from analyzer.notify.settings import NotifyRefused, check

SECRET = "https://user:s3cretPassw0rd@host/t0ken"


def test_everything_that_may_stand_there(tmp_path: Path) -> None:
    """The example at the top of the module is read as it stands, from a file."""
    (tmp_path / "avaliacoes.toml").write_text(
        "[plugins]\nmine = 'm:R'\n[notify]\n"
        'urls = ["json://a", "env:MY_URL"]\nlevel = "ERROR"\nrules = ["non_finite", "mine"]\n'
        'group_wait = "10s"\ngroup_interval = "5m"\nrepeat = 0\nresolved = false\nrate_limit = 3\nretries = 4\n'
        '[[notify.silences]]\nrules = ["stagnation"]\nsessions = "debug_*"\nuntil = 2030-01-01T08:00:00Z\n'
        "[[notify.silences]]\nuntil = 2030-01-01\n"
    )
    found = settings.load(tmp_path, environment={"MY_URL": "json://b"})
    assert found.urls == ("json://a", "json://b") and found.level == "ERROR"
    assert found.rules == {"non_finite", "mine"}
    assert (found.group_wait, found.group_interval, found.repeat) == (10.0, 300.0, 0.0)
    assert (found.resolved, found.rate_limit, found.retries) == (False, 3, 4)
    first, second = found.silences
    assert first.until == datetime.datetime(2030, 1, 1, 8, tzinfo=datetime.timezone.utc).timestamp()
    assert first.covers("stagnation", "debug_1", 0) and not first.covers("stagnation", "run", 0)
    assert not first.covers("overfit", "debug_1", 0) and not first.covers("stagnation", "debug_1", 2e9)
    assert second.covers("overfit", "any", 0)


def test_defaults(tmp_path: Path) -> None:
    """Without a file nothing is sent; with one, the documented defaults hold."""
    assert settings.load(tmp_path) == settings.NotifySettings()
    found = check({"urls": "json://one"})
    assert found.urls == ("json://one",)
    assert (found.level, found.group_wait, found.group_interval, found.repeat) == ("WARNING", 10.0, 300.0, 14400.0)


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ({"url": []}, "did you mean 'urls'"),
        ({"group_wiat": 3}, "did you mean 'group_wait'"),
        ({"group_wait": "10 parsecs"}, "notify.group_wait must be a time"),
        ({"group_wait": True}, "notify.group_wait must be a time"),
        ({"group_interval": 0}, "notify.group_interval must be a time of 1 s"),
        ({"repeat": "90d"}, "30 days"),
        ({"level": "WARNIN"}, "did you mean 'WARNING'"),
        ({"rules": ["non_finit"]}, "did you mean 'non_finite'"),
        ({"rules": 3}, "must be a list of rules"),
        ({"resolved": 1}, "true or false"),
        ({"rate_limit": 0}, "whole number from 1"),
        ({"retries": 2.5}, "whole number from 1"),
        ({"silences": {}}, "[[notify.silences]]"),
        ({"silences": [{"rule": "x"}]}, "did you mean 'rules'"),
        ({"silences": [{"until": "soon"}]}, "without quotes"),
        ({"silences": [{"sessions": 3}]}, "pattern"),
        ({"urls": [SECRET, "env:NOT_THERE"]}, "no NOT_THERE"),
        ({"urls": [SECRET, "s3cretPassw0rd"]}, "urls[1] is no URL"),
        ({"urls": [SECRET, 3]}, "urls[1] must be a URL"),
        ({"urls": 3}, "list of URLs"),
        ("x", "must be a table"),
    ],
)
def test_refusals_name_key_and_remedy_and_no_secret(said: Any, hint: str) -> None:
    """Each wrong key or value is refused with the nearest or what was expected, and no URL is in the text."""
    with pytest.raises(NotifyRefused) as caught:
        check(said, environment={})
    assert hint in str(caught.value) and "s3cret" not in str(caught.value) and "t0ken" not in str(caught.value)


def test_settings_never_show_their_urls() -> None:
    """`repr` and `str` of the settings leave the URLs out."""
    found = check({"urls": [SECRET]})
    assert "s3cret" not in f"{found!r} {found}"
