"""Texts of clusters and files on their way to a terminal: what could steer it is shown instead, so that nothing is hidden."""


def visible(text: str) -> str:
    """On one line; control characters, and those that turn the direction of writing, as escapes such as \\x1b."""
    return text if text.isprintable() else "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return char if char == "\N{NO-BREAK SPACE}" else char.encode("unicode_escape").decode()
