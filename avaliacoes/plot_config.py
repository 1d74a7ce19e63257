"""`monitor.plot_config`: a dict that refuses what cannot be, and that running services follow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

from contract import settings
from contract.settings import SettingRefused


class PlotConfig(dict[str, Any]):
    """The settings of analyzer, page and status; `contract.settings.describe()` says what each one means.

    Every way to write checks first: unknown keys, wrong types and values out of range raise `SettingRefused` (a
    `ValueError`), and of several keys none is changed then. Settings cannot be removed.

    Args:
        changed: called with the whole dict after each change.
        values: over the defaults.
    """

    def __init__(self, changed: Callable[[Mapping[str, Any]], None], **values: Any) -> None:
        super().__init__(settings.defaults() | _checked(values))
        self._changed = changed

    def update(self, *args: Any, **kwargs: Any) -> None:
        """As `dict.update`.

        Raises:
            SettingRefused: one of the settings cannot be; nothing is changed.
        """
        new = _checked(dict(*args, **kwargs))
        super().update(new)
        if new:
            self._changed(self)

    def __setitem__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def setdefault(self, name: str, default: Any = None) -> Any:
        """The setting's value; every setting has one, so nothing is ever set.

        Raises:
            SettingRefused: there is no such setting.
        """
        if name not in self:
            settings.check(name, default)
        return self[name]

    def __ior__(self, other: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> PlotConfig:  # type: ignore[override,misc]
        self.update(other)
        return self

    def _refuse(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise SettingRefused("settings cannot be removed; set them to another value instead")

    __delitem__ = pop = popitem = clear = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


def _checked(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: settings.check(name, value) for name, value in values.items()}
