"""String quantities of the API ("30s", "1%", RFC 3339 times) as floats inside the program.

The API carries no floats (they do not survive every client unchanged), the core computes with nothing else.
"""

import math
import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

DURATION_PATTERN = r"^([0-9]+(ms|s|m|h))+$"
RATIO_PATTERN = r"^([0-9]{1,2}([.][0-9]{1,6})?|100([.]0{1,6})?)%$"

MULTIPLE_PATTERN = r"^([1-9][0-9]{0,2}([.][0-9]{1,3})?x|off)$"
NUMBER_PATTERN = r"^-?[0-9]{1,15}([.][0-9]{1,9})?$"

_DURATION_FORM = "write a number and a unit, such as 500ms, 30s, 5m or 1h30m"
_RATIO_FORM = "write a percentage between 0% and 100%, such as 1% or 0.5%"
_MULTIPLE_FORM = "write how many times, such as 2x or 1.5x, or off"
_NUMBER_FORM = "write a decimal number as a string, such as 0.5 or 300"

_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(value: str | float) -> float:
    """Seconds of a duration such as "500ms" or "1m30s". Raises ValueError with the accepted form."""
    if isinstance(value, int | float):
        return float(value)
    if not re.fullmatch(DURATION_PATTERN, value):
        raise ValueError(f"{value!r} is not a duration: {_DURATION_FORM}")
    return sum(int(number) * _UNIT_SECONDS[unit] for number, unit in re.findall(r"([0-9]+)(ms|s|m|h)", value))


def format_duration(seconds: float) -> str:
    """The shortest spelling of a duration: 0.5 → "500ms", 90 → "1m30s"."""
    milliseconds = round(seconds * 1000)
    parts = []
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, milliseconds = divmod(milliseconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_ratio(value: str | float) -> float:
    """The fraction of a percentage: "1%" → 0.01. Raises ValueError with the accepted form."""
    if isinstance(value, int | float):
        return float(value)
    if not re.fullmatch(RATIO_PATTERN, value):
        raise ValueError(f"{value!r} is not a percentage: {_RATIO_FORM}")
    return float(value[:-1]) / 100.0


def format_ratio(fraction: float) -> str:
    """The percentage of a fraction: 0.01 → "1%"."""
    return f"{fraction * 100:.6f}".rstrip("0").rstrip(".") + "%"


def parse_multiple(value: str | float) -> float:
    """The factor of a multiple: "2x" → 2.0, "off" → infinity. Raises ValueError with the accepted form."""
    if isinstance(value, int | float):
        return float(value)
    if not re.fullmatch(MULTIPLE_PATTERN, value):
        raise ValueError(f"{value!r} is not a multiple: {_MULTIPLE_FORM}")
    return math.inf if value == "off" else float(value[:-1])


def format_multiple(factor: float) -> str:
    """The multiple of a factor: 2.0 → "2x"."""
    return "off" if math.isinf(factor) else f"{factor:.3f}".rstrip("0").rstrip(".") + "x"


def parse_number(value: str | float) -> float:
    """The number of a decimal string. Raises ValueError with the accepted form."""
    if isinstance(value, int | float):
        return float(value)
    if not re.fullmatch(NUMBER_PATTERN, value):
        raise ValueError(f"{value!r} is not a number: {_NUMBER_FORM}")
    return float(value)


def format_number(value: float) -> str:
    """The decimal string of a number: 0.5 → "0.5"."""
    return f"{value:.9f}".rstrip("0").rstrip(".")


def parse_time(value: str | float) -> float:
    """Seconds since the epoch of an RFC 3339 time."""
    if isinstance(value, int | float):
        return float(value)
    return datetime.fromisoformat(value).timestamp()


def format_time(seconds: float) -> str:
    """An RFC 3339 time in UTC with microseconds, as metav1.MicroTime writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _explained(pattern: str, max_length: int, form: str, *more: dict[str, str]) -> WithJsonSchema:
    """A string schema whose refusal says what to write: a pattern's own message shows only the pattern."""
    rules = [{"rule": f"self.matches('{pattern}')", "message": form}, *more]
    return WithJsonSchema({"type": "string", "pattern": pattern, "maxLength": max_length, "x-kubernetes-validations": rules})


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    _explained(DURATION_PATTERN, 32, _DURATION_FORM),
]
"""Seconds in the program, "1m30s" in the API."""

_POSITIVE_FORM = "must be longer than 0s"


def _positive(seconds: float) -> float:
    if seconds <= 0.0:
        raise ValueError(_POSITIVE_FORM)
    return seconds


PositiveDuration = Annotated[
    Duration,
    AfterValidator(_positive),
    # A second rule, so that neither message is lost. No other duration has only zeros for digits.
    _explained(DURATION_PATTERN, 32, _DURATION_FORM, {"rule": "self.matches('[1-9]')", "message": _POSITIVE_FORM}),
]
"""As above, and not 0s."""

Ratio = Annotated[
    float,
    BeforeValidator(parse_ratio),
    PlainSerializer(format_ratio, return_type=str),
    _explained(RATIO_PATTERN, 16, _RATIO_FORM),
]
"""A fraction in the program, "1%" in the API."""

Time = Annotated[
    float,
    BeforeValidator(parse_time),
    PlainSerializer(format_time, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""Seconds since the epoch in the program, RFC 3339 in the API."""

Multiple = Annotated[
    float,
    BeforeValidator(parse_multiple),
    PlainSerializer(format_multiple, return_type=str),
    _explained(MULTIPLE_PATTERN, 16, _MULTIPLE_FORM),
]
"""A factor in the program (infinity: off), "2x" in the API."""

Number = Annotated[
    float,
    BeforeValidator(parse_number),
    PlainSerializer(format_number, return_type=str),
    _explained(NUMBER_PATTERN, 32, _NUMBER_FORM),
]
"""A number in the program, a decimal string in the API."""
