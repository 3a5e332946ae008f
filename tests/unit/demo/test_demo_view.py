"""The live view, drawn from moments of a real run."""

import io

import pytest
from demo.frame import Frame
from demo.releases import RELEASES
from demo.view import View
from recorded import FRAMES
from rich.console import Console


def drawn(frame: Frame, width: int = 80, height: int = 24) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, highlight=False)
    console.print(View(frame))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def row(frame: Frame, label: str) -> str:
    return next(line for line in drawn(frame, 100, 30) if line.startswith(label)).removeprefix(label).strip()


def about(frame: Frame) -> str:
    """The whole upper part as running text."""
    return " ".join(" ".join(drawn(frame, 100, 30)).split())


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (200, 60)])
def test_every_moment_fits_the_terminal(name: str, width: int, height: int) -> None:
    lines = drawn(FRAMES[name], width, height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width


def test_the_present_step_is_in_brackets() -> None:
    assert row(FRAMES["collecting"], "steps").split() == ["[5", "%]", "10", "%", "25", "%", "50", "%", "100", "%"]
    assert "[50 %]" in row(FRAMES["step_4_passed"], "steps")
    assert "[" not in row(FRAMES["promoted"], "steps")


def test_proxies_keep_the_old_weights_until_they_have_acknowledged_the_new_ones() -> None:
    frame = FRAMES["shifting_to_10"]
    assert row(frame, "wanted").endswith("v1  90 %  v2  10 %")
    assert row(frame, "proxies have").endswith("v1  95 %  v2   5 %  3 of 3 proxies")


def test_nothing_is_said_about_the_proxies_before_the_first_proof() -> None:
    assert row(FRAMES["adopting"], "proxies have") == "not known yet  0 of 3 proxies"
    assert row(FRAMES["adopting"], "evidence").startswith("waiting for ingressgateway-")


def test_the_numbers_behind_a_rollback_stay_on_the_screen() -> None:
    told = "rolled back at 5 %: 66 of 116 canary requests failed (56.9 %), limit 1 %, stable 0 %; evidence over 1,000,000 of 100"
    assert told in about(FRAMES["v3_rolling_back"])
    assert told in about(FRAMES["v3_rolled_back"])


def test_a_rollback_counts_down_the_proxies() -> None:
    frame = FRAMES["v4_rolling_back"]
    assert row(frame, "wanted").endswith("v2 100 %")
    assert row(frame, "proxies have").endswith("v2  95 %  v4   5 %  0 of 5 proxies")
    assert "76 of 76 canary requests took longer than 500ms" in about(frame)


def test_requests_and_failures_are_shown_per_version() -> None:
    assert row(FRAMES["v3_failing"], "v3  ").split()[:3] == ["139", "78", "0"]
    assert row(FRAMES["v3_failing"], "v2  ").split()[:3] == ["3,918", "0", "0"]


def test_every_release_has_its_state() -> None:
    first, second, third = (row(FRAMES["v4_slow"], f"  {release.version}  {release.nature}") for release in RELEASES)
    assert (first, second) == ("Promoted, 121 s", "RolledBack for ErrorRate, 13 s")
    assert third.startswith("Analysing")


def test_the_newest_event_is_at_the_bottom_however_small_the_terminal() -> None:
    for height in (24, 30):
        assert drawn(FRAMES["end"], 80, height)[-1].startswith(" 3:15 RolledBack")
