"""Options by name: read from files, JSON and the environment."""

from __future__ import annotations

from os import PathLike
from typing import Unpack

from . import _clusterkit
from ._options import _NODE_OPTIONS, Options
from ._status import OptionSpec
from ._values import _option_text, _set_options


class OptionSet:
    """The options of a node, by their names in every language (`health_check.interval`; docs/options.md).

    For options from outside: `ClusterKit.from_options(OptionSet().load_file(path).load_env())`. What is read later replaces
    what was read before.
    """

    __slots__ = ("_native",)

    def __init__(self, **options: Unpack[Options]) -> None:
        """Options with their defaults, and these.

        Raises InvalidOptionError, which names the option.
        """
        self._native = _clusterkit.OptionSet()
        _set_options(self._native, options, _NODE_OPTIONS)

    def set(self, name: str, value: object) -> OptionSet:
        """Sets an option: text as in docs/options.md, or a number, bool, list, dict or timedelta. Returns self.

        Raises InvalidOptionError.
        """
        keyword = name.replace(".", "_")
        _, is_duration = _NODE_OPTIONS.get(keyword, (name, False))
        self._native.set(name, _option_text(value, is_duration))
        return self

    def get(self, name: str) -> str:
        """The value of an option as text; empty where it is not set. Raises InvalidOptionError for an unknown name."""
        return self._native.get(name)

    def load_json(self, json: str) -> OptionSet:
        """Sets the options that a JSON object names. Returns self. Raises InvalidOptionError."""
        self._native.load_json(json)
        return self

    def load_file(self, path: str | PathLike[str]) -> OptionSet:
        """Sets the options that a JSON file names. Returns self. Raises InvalidOptionError; IoError when it cannot be read."""
        self._native.load_file(path)
        return self

    def load_env(self) -> OptionSet:
        """Sets the options that the environment names (`CLUSTERKIT_NODE_ID`, ...). Returns self. Raises InvalidOptionError."""
        self._native.load_env()
        return self

    def validate(self) -> None:
        """Raises InvalidOptionError for what is missing, out of bounds, or contradicts another option."""
        self._native.validate()

    def effective(self) -> dict[str, str]:
        """What the options come to, by name, with what is derived from others. Raises as `validate`."""
        return self._native.effective()


def options_table() -> tuple[OptionSpec, ...]:
    """Every option of a node."""
    return tuple(map(OptionSpec._make, _clusterkit.option_table()))


def client_options_table() -> tuple[OptionSpec, ...]:
    """Every option of a client."""
    return tuple(map(OptionSpec._make, _clusterkit.client_option_table()))
