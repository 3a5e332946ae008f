"""Texts that others wrote, made fit for status, Events and terminals."""


def printable(text: str) -> str:
    """On one line, without control characters and without those that turn the direction of writing."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def shown(text: str) -> str:
    """The same of a text of ours in which names and words of others may stand; its own spaces are kept where none do harm."""
    return text if text.isprintable() else printable(text)
