"""The demo's exit code, where its frames go, and what ends a wait."""

import io
import signal
from types import SimpleNamespace
from typing import Any, cast

import demo.__main__ as program
import pytest
from arena import Arena
from demo.clients import Records
from demo.display import Lines, Screen, display_on
from demo.errors import DemoError
from demo.releases import RELEASES
from demo.result import Result
from demo.watch import Stage, Watch
from recorded import FRAMES
from rich.console import Console

RIGHT = [Result(release, release.outcome, release.reason, "said", 10.0, 100, 0, 0, None) for release in RELEASES]


def exit_code(monkeypatch: pytest.MonkeyPatch, results: list[Result], error: BaseException | None = None) -> int:
    def play(_mesh: object, _console: object, found: list[Result]) -> None:
        found += results
        if error is not None:
            raise error

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(program, "play", play)
    folder = SimpleNamespace(sub=lambda name: f"/mesh/{name}")
    monkeypatch.setattr(program.Mesh, "attach", lambda: SimpleNamespace(close=lambda: None, folder=folder))
    try:
        return program.main()
    finally:
        signal.signal(signal.SIGTERM, before)


def test_exit_code_is_0_only_when_all_releases_ended_as_they_should(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    assert exit_code(monkeypatch, RIGHT) == 0
    v2, v3, _ = RIGHT
    promoted = Result(RELEASES[2], "Promoted", "", "said", 10.0, 100, 0, 0, None)
    assert exit_code(monkeypatch, [v2, v3, promoted]) == 1
    told = capsys.readouterr().err
    assert "demo: v4 should have ended as RolledBack for Latency, but: Promoted (said)" in told
    assert "log is in /mesh/operators" in told


def test_a_demo_that_stops_half_way_still_reports_what_ended(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    assert exit_code(monkeypatch, RIGHT[:1], DemoError("the operator has ended")) == 1
    shown = capsys.readouterr()
    assert "Promoted" in shown.out
    assert "demo: the operator has ended" in shown.err


def test_outside_a_mesh_the_demo_says_how_to_start_it(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.delenv("LOCALMESH", raising=False)
    before = signal.getsignal(signal.SIGTERM)
    assert program.main() == 2
    signal.signal(signal.SIGTERM, before)
    assert "python -m localmesh run" in capsys.readouterr().err


def test_an_interrupted_demo_says_so_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    assert exit_code(monkeypatch, [], KeyboardInterrupt()) == 130


def test_a_terminal_gets_a_screen_and_anything_else_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    terminal = Console(file=io.StringIO(), force_terminal=True, width=80, height=24)
    with display_on(terminal) as display:
        assert isinstance(display, Screen)
        display.show(FRAMES["collecting"])
    with display_on(Console(file=io.StringIO())) as display:
        assert isinstance(display, Lines)
    monkeypatch.setenv("NO_COLOR", "1")
    with display_on(terminal) as display:
        assert isinstance(display, Lines)
    assert isinstance(terminal.file, io.StringIO)
    assert "about 95 more" in terminal.file.getvalue()


def watch(*, running: bool = True) -> Watch:
    place = SimpleNamespace(operator=SimpleNamespace(running=running), status=lambda: {"message": "step 1/5"})
    return Watch(cast(Arena, place), cast(Records, None), Lines(), 0.0, Stage("testing"))


def test_a_wait_ends_when_the_operator_does() -> None:
    with pytest.raises(DemoError, match="operator has ended"):
        watch(running=False).until(lambda: False, 60.0, "the release of v2")


def test_a_view_that_fails_ends_the_demo_instead_of_freezing() -> None:
    with pytest.raises(DemoError, match="the view failed: AttributeError"), watch() as broken:
        broken.until(lambda: False, 60.0, "the release of v2")


def test_a_wait_that_takes_too_long_tells_the_last_message() -> None:
    with pytest.raises(DemoError, match=r"the release of v2 took longer than 0 s: step 1/5"):
        watch().until(lambda: False, 0.0, "the release of v2")
