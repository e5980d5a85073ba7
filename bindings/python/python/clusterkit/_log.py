"""Messages for people, to `logging`."""

from __future__ import annotations

import logging
from collections.abc import Callable

TRACE = 5
"""The level of messages that the library calls trace."""

_LEVELS = {
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": TRACE,
}

_default = logging.getLogger("clusterkit")
# As every library does: it prints nothing where the application has not asked for it.
_default.addHandler(logging.NullHandler())


def _logs_to(
    logger: logging.Logger | logging.LoggerAdapter[logging.Logger], attributes: dict[str, str]
) -> Callable[[str, str], None]:
    """What passes messages on to a logger, with attributes that are named as OpenTelemetry names them."""

    def log(level: str, message: str) -> None:
        number = _LEVELS.get(level, logging.INFO)
        if logger.isEnabledFor(number):
            logger.log(number, "%s", message, extra=attributes)

    return log
