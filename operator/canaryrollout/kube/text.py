"""JSON as Go's encoding/json writes it, byte for byte: API servers compare the values of a JSON Patch's tests as text."""

import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

_ESCAPED = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"}


def go_json(value: Any) -> str:
    """The text of a value that came from JSON, numbers included. ValueError for NaN and infinity, which JSON does not have.

    Strings: only what JSON demands is escaped, and < > & U+2028 U+2029 (encoding/json, `appendString` with escapeHTML). Floats: no
    exponent from 1e-6 up to 1e21, else one without a leading zero (`floatEncoder`).
    """
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{go_json(str(key))}:{go_json(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(go_json, value)) + "]"
    if isinstance(value, float):
        return _number(value)
    text = json.dumps(value, ensure_ascii=False)
    return text.translate(_ESCAPED) if isinstance(value, str) else text


def _number(value: float) -> str:
    if not math.isfinite(value):
        raise ValueError(f"{value} is no JSON number")
    if value == 0 or 1e-6 <= abs(value) < 1e21:
        return format(Decimal(repr(value)), "f").removesuffix(".0")
    mantissa, _, exponent = repr(value).partition("e")
    return f"{mantissa}e{exponent[0]}{exponent[1:].lstrip('0')}"
