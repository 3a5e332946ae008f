"""Names and durations inside PromQL."""

import re

NOTHING = r"[^\x00-\x{10FFFF}]"
"""A pattern that matches no label value, not even the missing one, as the empty pattern would."""


def pattern(value: str) -> str:
    """A pattern of RE2 that matches this text alone."""
    return re.sub(r"[^A-Za-z0-9_-]", lambda match: "[.]" if match[0] == "." else f"\\x{{{ord(match[0]):x}}}", value)


def alternation(values: tuple[str, ...]) -> str:
    """A pattern of RE2 that matches these texts alone."""
    return "|".join(pattern(value) for value in values) or NOTHING


def quote(text: str) -> str:
    """A string literal of PromQL (Go's escapes)."""
    return f'"{escape(text)}"'


def escape(text: str) -> str:
    """What stands for this text between the quotes of a string literal, be they " or '; a raw string (`) it cannot leave."""
    return re.sub(r"[\x00-\x1f\x7f\"'`]", lambda match: f"\\x{ord(match[0]):02x}", text.replace("\\", "\\\\"))


def duration(milliseconds: int) -> str:
    """Such as 5s, 400ms."""
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"
