"""What clusters and files hold cannot steer the terminal, or the program, that reads what we print."""

import copy
from typing import Any

import pytest
from canaryrollout.cli.diffs import Change
from canaryrollout.cli.exits import fail
from canaryrollout.cli.screen import Screen, columns
from canaryrollout.cli.view import View, lines
from canaryrollout.cli.visible import visible
from hypothesis import given
from hypothesis import strategies as st
from typer import Exit

EVIL = "v2\x1b]52;c;cm0=\x07\x9b2J\u202e\r\n::add-mask::x"


@given(st.text())
def test_whatever_is_shown_is_one_printable_line_and_hides_nothing(text: str) -> None:
    shown = visible(text)
    assert shown.replace("\xa0", " ").isprintable()
    assert visible(shown) == shown
    assert len(shown) >= len(text)
    assert shown == text or not text.isprintable()


@pytest.mark.parametrize("colour", [True, False])
@pytest.mark.parametrize("width", [None, 20, 80])
def test_a_status_is_shown_with_escapes(colour: bool, width: int | None, capsys: pytest.CaptureFixture[str]) -> None:
    condition = {"type": "Ready", "status": "False", "reason": "TakenOver", "message": EVIL}
    raw = {"metadata": {"name": "reviews"}, "spec": {"version": EVIL}, "status": {"phase": EVIL, "conditions": [condition]}}
    Screen(colour, width).show([*lines(View(raw)), *columns(("WHY",), [(EVIL,)])])
    written = capsys.readouterr().out
    assert all(line.isprintable() for line in written.split("\n"))
    assert "\\x1b" in written
    assert not any(line.lstrip().startswith("::") for line in written.splitlines())


def test_an_error_is_shown_with_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Exit):
        fail(f"there is no file {EVIL}")
    assert capsys.readouterr().err == "error: there is no file v2\\x1b]52;c;cm0=\\x07\\x9b2J\\u202e ::add-mask::x\n"


@pytest.mark.parametrize("text", ["a\n::stop-commands::x\nb", "a\u2028+ b", "a\n", "\n", "a\x85b"])
def test_a_text_with_line_breaks_makes_no_line_of_its_own_in_a_diff(text: str) -> None:
    before: dict[str, Any] = {"metadata": {"name": "reviews"}, "spec": {"http": [{"name": text, "timeout": "1s"}]}}
    after = copy.deepcopy(before)
    after["spec"]["http"][0]["timeout"] = "2s"
    found = Change("VirtualService/shop/reviews", before, after).diff
    assert [line[0] for line in found if line[:3] not in ("---", "+++")] == ["@", " ", " ", " ", "-", "+"]
