"""Tapping a method that somebody else wrote: what goes through it is logged too, and it behaves as before."""

from __future__ import annotations

import functools
import inspect
import numbers
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from contract.names import MAX_METRIC_NAME_CHARS

if TYPE_CHECKING:
    from avaliacoes.logger_integration import TrainingLoggerIntegration

STEP_NAMES: Final = ("step", "global_step", "timestep", "timesteps", "num_timesteps", "iteration", "epoch", "n_iter")
_NAME_NAMES: Final = frozenset({"tag", "name", "key", "metric", "metric_name"})
_VALUE_NAMES: Final = frozenset({"value", "scalar_value", "scalar", "val", "metric_value"})
#: Names before a `/` that only say "these are training metrics".
_TRAINING_PREFIXES: Final = ("train/", "training/")
_MISSING: Final = object()


@dataclass(slots=True)
class Extract:
    """What was found in the arguments of one call."""

    step: int | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    ignored: int = 0

    def put(self, name: str, value: Any) -> None:
        """Keep a number (or what converts to one); go down into dicts; count the rest."""
        if isinstance(value, Mapping):
            for key, below in value.items():
                self.put(str(key), below)
        elif _is_number(value):
            self.metrics[name] = value
        else:
            self.ignored += 1

    def put_step(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, numbers.Integral):
            return False
        self.step = int(value)
        return True


def _is_number(value: Any) -> bool:
    if isinstance(value, (numbers.Number, bool)):
        return True
    if isinstance(value, (str, bytes)) or value is None:
        return False
    # One-element tensors and arrays of any library; larger ones are no metric.
    size: Any = getattr(value, "numel", None) or getattr(value, "size", 1)
    try:
        return hasattr(value, "item") and int(size() if callable(size) else size) == 1
    except (TypeError, ValueError):
        return False


def _is_name(value: Any) -> bool:
    """Whether a text can be a metric's name, not a message or its template."""
    return isinstance(value, str) and 0 < len(value) <= MAX_METRIC_NAME_CHARS and not set("%{}\n") & set(value)


def extract(args: tuple[Any, ...], kwargs: Mapping[str, Any], names: tuple[str, ...] = ()) -> Extract:
    """Step and metrics out of the arguments of a call.

    Args:
        names: parameter names of the positional arguments, as far as they are known.

    >>> extract(("train/loss", 0.5, 10), {})
    Extract(step=10, metrics={'train/loss': 0.5}, ignored=0)
    >>> extract(({"loss": 0.5, "note": "x"},), {"step": 3})
    Extract(step=3, metrics={'loss': 0.5}, ignored=1)
    >>> extract((7, 0.5), {}, ("epoch", "loss"))
    Extract(step=7, metrics={'loss': 0.5}, ignored=0)
    """
    found = Extract()
    given = dict(kwargs)
    rest = list(args)
    name = next((given[key] for key in _NAME_NAMES if _is_name(given.get(key))), None)
    value_key = next((key for key in _VALUE_NAMES if key in given), None)
    if rest and _is_name(rest[0]) and (len(rest) > 1 or value_key):
        name, rest, names = rest[0], rest[1:], names[1:]
        if rest and value_key is None:
            found.put(name, rest[0])
            rest, names = rest[1:], names[1:]
            if rest and found.put_step(rest[0]):
                rest, names = rest[1:], names[1:]
    if name is not None and value_key is not None:
        found.put(name, given.pop(value_key))
        given = {key: value for key, value in given.items() if key not in _NAME_NAMES}
    has_dict = any(isinstance(value, Mapping) for value in rest)
    for position, value in enumerate(rest):
        label = names[position] if position < len(names) else ""
        if isinstance(value, Mapping):
            found.put(label, value)
        elif (label in STEP_NAMES or (has_dict and found.step is None)) and found.put_step(value):
            continue
        else:
            found.put(label or f"value_{position}", value)
    for key in STEP_NAMES:
        if key in given and found.put_step(given[key]):
            del given[key]
            break
    for key, value in given.items():
        found.put(key, value)
    if found.step is None:
        for key in STEP_NAMES:
            if key in found.metrics and found.put_step(found.metrics[key]):
                del found.metrics[key]
                break
    return found


def category_of(name: str) -> str:
    """The category that a metric belongs to, by its name.

    >>> [category_of(x) for x in ("grad_norm", "rollout/ep_rew_mean", "time/fps", "loss")]
    ['gradients', 'rewards', 'performance', 'training']
    """
    last = name.lower().rsplit("/", 1)[-1]
    if last.startswith("grad") or "grad_norm" in last or last == "weight_update_ratio":
        return "gradients"
    if last.startswith(("ep_", "episode")) or "reward" in last or last == "return":
        return "rewards"
    if last in ("fps", "time_elapsed", "iterations", "total_timesteps") or "memory" in last or "per_second" in last:
        return "performance"
    return "training"


def short_name(name: str) -> str:
    """A metric's name as the dashboard knows it: `train/loss` is loss; `val/loss` stays what it is."""
    for prefix in _TRAINING_PREFIXES:
        if name.startswith(prefix) and len(name) > len(prefix):
            return name[len(prefix) :]
    return name


class Patch:
    """One method of one object, tapped until `undo`. The object may also be a module or a class."""

    def __init__(self, integration: TrainingLoggerIntegration, target: Any, method: str) -> None:
        self._integration = integration
        self._target = target
        self._method = method
        self._active = True
        self._inside = threading.local()
        self._seen: set[str] = set()
        self._own_step = -1
        self.calls = self.ignored = 0
        original = getattr(target, method)
        if not callable(original):
            raise TypeError(f"{type(target).__name__}.{method} is {type(original).__name__}, not a method")
        self._before = vars(target).get(method, _MISSING) if hasattr(target, "__dict__") else _MISSING
        self._class: type | None = None
        raw = inspect.getattr_static(target, method, None) if isinstance(target, type) else None
        skip = 1 if isinstance(target, type) and not isinstance(raw, (staticmethod, classmethod)) else 0
        self._wrapper = self._wrap(original, skip)
        self._install(staticmethod(self._wrapper) if isinstance(raw, (staticmethod, classmethod)) else self._wrapper)

    def _install(self, wrapper: Any) -> None:
        self._installed = wrapper
        try:
            setattr(self._target, self._method, wrapper)
            return
        except (AttributeError, TypeError):
            pass
        # No place for an attribute of its own (`__slots__`): give the object a subclass of its class instead.
        kind = type(self._target)
        try:
            subclass = type(kind.__name__, (kind,), {"__slots__": (), self._method: staticmethod(self._wrapper)})
            # Past a `__setattr__` of its own: a frozen dataclass refuses the plain assignment.
            object.__setattr__(self._target, "__class__", subclass)
            self._class = kind
        except TypeError as error:
            raise TypeError(
                f"cannot replace {self._method!r} of {kind.__name__}: the object takes no attributes and its class "
                f"cannot be extended ({error}). Call integration.log_training_step beside it instead"
            ) from error

    def _wrap(self, original: Callable[..., Any], skip: int) -> Callable[..., Any]:
        names = _positional_names(original)

        @functools.wraps(original)
        def through(*args: Any, **kwargs: Any) -> Any:
            if self._active and not getattr(self._inside, "busy", False):
                self._inside.busy = True
                try:
                    # Logged before the call: if the call never returns, what went into it is what people look for.
                    self._log(args[skip:], kwargs, names[skip:])
                    return original(*args, **kwargs)
                finally:
                    self._inside.busy = False
            return original(*args, **kwargs)

        return through

    def _log(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], names: tuple[str, ...]) -> None:
        try:
            self.calls += 1
            found = extract(args, kwargs, names)
            self.ignored += found.ignored
            if not found.metrics:
                return
            by_category: dict[str, dict[str, Any]] = {}
            for name, value in found.metrics.items():
                by_category.setdefault(category_of(name), {})[short_name(name)] = value
            step = found.step if found.step is not None else self._count(found.metrics)
            for category, metrics in by_category.items():
                self._integration.log(category, step, **metrics)
        except Exception as error:  # somebody else's call must not fail because of us
            self._integration.count_problem("patched", f"{self.describe()}: {type(error).__name__}: {error}")

    def _count(self, metrics: Mapping[str, Any]) -> int:
        """A step for calls that name none: it advances when a metric comes that this step already has."""
        if self._own_step < 0 or not self._seen.isdisjoint(metrics):
            self._own_step += 1
            self._seen.clear()
        self._seen.update(metrics)
        return self._own_step

    def undo(self) -> None:
        """Put the method back. If somebody wrapped it after us, theirs stays and ours only passes calls through."""
        self._active = False
        if self._class is not None:
            object.__setattr__(self._target, "__class__", self._class)
            return
        if vars(self._target).get(self._method) is not self._installed:
            return
        if self._before is _MISSING:
            delattr(self._target, self._method)
        else:
            setattr(self._target, self._method, self._before)

    def describe(self) -> str:
        """`Class.method: n calls, m values ignored`."""
        kind = self._target if isinstance(self._target, type) else type(self._target)
        return f"{kind.__name__}.{self._method}: {self.calls} calls, {self.ignored} values ignored"


def _positional_names(original: Callable[..., Any]) -> tuple[str, ...]:
    try:
        parameters = inspect.signature(original).parameters.values()
    except (TypeError, ValueError):
        return ()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(parameter.name for parameter in parameters if parameter.kind in kinds)
