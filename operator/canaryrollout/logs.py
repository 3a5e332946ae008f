"""Logging: one line of JSON per record for structlog's own loggers and for those of kopf, aiohttp and the rest.

Texts of foreign origin reach the logs (object names, proxies' errors, exceptions), so control characters are taken out
and user names and passwords are taken out of URLs, wherever in a record they stand.
"""

import logging
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

# C0 and C1 control characters and the two Unicode line separators; a line break or tab becomes a space.
_BREAKS = re.compile("[\t\n\r\u0085\u2028\u2029]+")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_USERINFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^/?#\s]*@")

_MULTILINE = frozenset({"exception", "stack"})
"""Keys whose line breaks carry meaning; JSON escapes them."""

# Their lines about each request, connection or watch event say nothing that ours do not.
_CHATTY = ("aiohttp.access", "urllib3.connectionpool", "asyncio", "kopf.objects")


def configure(level: str, format: Literal["auto", "json", "console"], stream: TextIO | None = None) -> None:
    """Send every record of this process at `level` ("debug" … "error") or above to `stream`, standard error by default."""
    output = sys.stderr if stream is None else stream
    console = format == "console" or (format == "auto" and output.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, copy_object_reference],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                clean,
                _console_renderer(output) if console else structlog.processors.JSONRenderer(sort_keys=False),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.DEBUG if level == "debug" else logging.WARNING)


def copy_object_reference(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The Kubernetes object that kopf's loggers attach to a record, under the key that kopf's own JSON logs use."""
    reference = getattr(event.get("_record"), "k8s_ref", None)
    if isinstance(reference, Mapping):
        event["object"] = {key: value for key, value in reference.items() if value is not None}
    return event


def clean(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Take control characters and URLs' userinfo out of all texts of a record."""
    return {_text(key): _cleaned(value, multiline=key in _MULTILINE) for key, value in event.items()}


def _cleaned(value: object, *, multiline: bool = False) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {_text(str(key)): _cleaned(inner) for key, inner in value.items()}
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, str | bytes):
        return [_cleaned(inner) for inner in value]
    return _text(str(value), multiline=multiline)


def _text(value: str, *, multiline: bool = False) -> str:
    value = _USERINFO.sub(r"\1", value)
    return _CONTROL.sub("", value if multiline else _BREAKS.sub(" ", value))


def _console_renderer(output: TextIO) -> Processor:
    return structlog.dev.ConsoleRenderer(
        colors=output.isatty(), timestamp_key="time", exception_formatter=structlog.dev.plain_traceback, sort_keys=False
    )
