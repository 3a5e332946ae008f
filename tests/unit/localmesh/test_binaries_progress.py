import io

import pytest
from localmesh.binaries_progress import LiveProgress, PlainProgress, about
from rich.console import Console
from rich.progress import Progress as LiveDisplay
from rich.progress import TextColumn


@pytest.mark.parametrize(("minutes", "text"), [(0.5, "about 30 s"), (1, "about 1 min"), (2.5, "about 2.5 min")])
def test_expected_time_is_in_fitting_units(minutes: float, text: str) -> None:
    assert about(minutes) == text


def test_plain_lines_say_which_of_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    stream = io.StringIO()
    progress = PlainProgress(stream)
    progress.start("etcd", 2, 9, 0.5)
    for _ in range(60):
        now += 1
        progress.doing("compiling net/http")
    progress.finish("etcd")
    assert stream.getvalue().splitlines() == [
        "[2/9] etcd ... (about 30 s from nothing)",
        "[2/9] etcd: 30 s, compiling net/http",
        "[2/9] etcd: 60 s, compiling net/http",
        "[2/9] etcd: done after 60 s",
    ]


def test_live_display_takes_brackets_as_text() -> None:
    stream = io.StringIO()
    columns = [TextColumn("{task.description}", markup=False), TextColumn("{task.fields[doing]}", markup=False)]
    display = LiveDisplay(*columns, console=Console(file=stream, force_terminal=True, width=80))
    with display:
        progress = LiveProgress(display)
        progress.start("etcd", 1, 9, 1)
        progress.doing("note: [/nothing] to close")
        display.refresh()
    assert "[1/9] etcd" in stream.getvalue()
    assert "[/nothing] to close" in stream.getvalue()
