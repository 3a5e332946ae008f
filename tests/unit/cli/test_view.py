"""What `status` and `list` make of an object, whoever wrote it."""

from typing import Any

import pytest
from canaryrollout.cli.exits import Exit
from canaryrollout.cli.screen import Line, Screen, columns, screen
from canaryrollout.cli.view import View, as_data, lines, spell

STATUS: dict[str, Any] = {
    "observedGeneration": 3,
    "phase": "Analysing",
    "stableVersion": "v1",
    "step": "2/5",
    "weight": 10,
    "proxies": {"total": 3, "synced": 2, "lagging": ["gateway-1.shop: Pending"]},
    "conditions": [
        {"type": "Ready", "status": "False", "reason": "Analysing", "message": "step 2/5: 10 % acknowledged; 400 of 534 requests seen"},
        {"type": "Analysis", "status": "Unknown", "reason": "CollectingEvidence", "message": "400 of 534 requests seen"},
    ],
    "rollout": {
        "version": "v2",
        "forecast": "at 50 requests/s: 5 % in about 1m",
        "notices": [{"reason": "NoHistory", "message": "nothing known"}],
    },
    "history": [
        {
            "version": "v1",
            "stable": "v0",
            "outcome": "RolledBack",
            "message": "rolled back at 5 %: 37 of 212 canary requests failed",
            "startedAt": "2026-01-02T03:04:05Z",
            "endedAt": "2026-01-02T03:05:35Z",
        }
    ],
}


def view(status: dict[str, Any] | None = None, *, version: str = "v2", **changed: Any) -> View:
    metadata = {"name": "reviews", "namespace": "shop", "generation": 3}
    return View({"metadata": metadata, "spec": {"version": version}, "status": {**(STATUS if status is None else status), **changed}})


def texts(found: View) -> list[str]:
    return [line.text for line in lines(found)]


def test_the_sentence_is_that_of_the_condition() -> None:
    assert texts(view()) == [
        "CanaryRollout shop/reviews: Analysing",
        "  why       step 2/5: 10 % acknowledged; 400 of 534 requests seen",
        "  version   v2 on trial, v1 stable",
        "  step      2/5, 10 % intended",
        "  proxies   2 of 3 acknowledged",
        "            gateway-1.shop: Pending",
        "  forecast  at 50 requests/s: 5 % in about 1m",
        "  notice    NoHistory: nothing known",
        "History",
        "  2026-01-02 03:05:35Z  v0 to v1: RolledBack after 1m30s",
        "    rolled back at 5 %: 37 of 212 canary requests failed",
    ]


def test_a_verdict_that_the_sentence_does_not_hold_is_told_beside_it() -> None:
    conditions = [{**STATUS["conditions"][0], "message": "held"}, STATUS["conditions"][1]]
    assert "  analysis  CollectingEvidence: 400 of 534 requests seen" in texts(view(conditions=conditions))


def test_an_object_that_no_operator_has_seen_says_so() -> None:
    assert view({}).explanation == "the operator has not looked at it yet"
    assert texts(view({}))[0] == "CanaryRollout shop/reviews: Pending"
    assert view(observedGeneration=2).explanation.endswith("(the operator has not seen the last change yet)")


def test_a_version_asked_for_in_mid_rollout_is_told_from_the_one_on_trial() -> None:
    assert "  version   v3 desired, v2 on trial, v1 stable" in texts(view(version="v3"))


@pytest.mark.parametrize(
    ("changed", "outcome"),
    [
        ({}, None),
        ({"phase": "Stable"}, None),
        ({"phase": "Stable", "stableVersion": "v2"}, Exit.OK),
        ({"phase": "Stable", "stableVersion": "v2", "observedGeneration": 2}, None),
        ({"phase": "RolledBack"}, Exit.ROLLED_BACK),
        ({"phase": "RolledBack", "observedGeneration": 2}, None),
        ({"phase": "Paused"}, Exit.PAUSED),
        ({"phase": "PhaseOfANewerOperator"}, None),
    ],
)
def test_a_rollout_has_ended_only_for_the_version_that_is_asked_for_now(changed: dict[str, Any], outcome: Exit | None) -> None:
    assert view(**changed).outcome is outcome


def test_held_before_it_began_counts_as_paused() -> None:
    raw = {**view(phase="Stable").raw, "spec": {"version": "v2", "paused": True}}
    assert View(raw).outcome is Exit.PAUSED


def test_json_carries_the_same() -> None:
    found = as_data(view())
    assert found["explanation"] == "step 2/5: 10 % acknowledged; 400 of 534 requests seen"
    assert found["proxies"] == {"total": 3, "synced": 2, "lagging": ["gateway-1.shop: Pending"]}
    assert found["analysis"] == {"status": "Unknown", "reason": "CollectingEvidence", "message": "400 of 534 requests seen"}
    assert (found["outcome"], found["step"], found["weight"]) == (None, "2/5", 10)


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0s"), (59, "59s"), (90, "1m30s"), (3600, "1h"), (7260, "2h1m"), (36_060, "10h"), (90_000, "1d1h")]
)
def test_ages_are_spelled_as_kubectl_does(seconds: float, text: str) -> None:
    assert spell(seconds) == text


def test_paragraphs_are_wrapped_at_a_terminal_and_diffs_never(capsys: pytest.CaptureFixture[str]) -> None:
    words = "  why       " + "word " * 20
    Screen(colour=False, width=40).show([Line(words.rstrip(), hang=12), Line("+" + "x" * 60)])
    shown = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 40 for line in shown[:-1])
    assert all(line.startswith(" " * 12) for line in shown[1:-1])
    assert shown[-1] == "+" + "x" * 60


def test_columns_line_up() -> None:
    table = columns(("NAME", "PHASE"), [("a", "Stable"), ("longer", "x")])
    assert [line.text for line in table] == ["NAME     PHASE", "a        Stable", "longer   x"]


def test_a_table_is_cut_at_the_edge_of_a_terminal_and_whole_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    table = columns(("NAME", "WHY"), [("a", "because " * 10)])
    Screen(colour=False, width=30).show(table)
    shown = capsys.readouterr().out.splitlines()
    assert [len(line) <= 30 for line in shown] == [True, True]
    assert shown[1].endswith("…")
    Screen(colour=False, width=None).show(table)
    assert capsys.readouterr().out.splitlines()[1] == "a      " + ("because " * 10).strip()


def test_a_number_is_not_parted_from_its_percent_sign(capsys: pytest.CaptureFixture[str]) -> None:
    Screen(colour=False, width=29).show([Line("1234567890 1234567890 123456 % 1", hang=2)])
    assert capsys.readouterr().out.splitlines() == ["1234567890 1234567890", "  123456 % 1"]


def test_a_terminal_gets_colours_unless_they_are_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert screen(no_color=False).colour
    assert not screen(no_color=True).colour
    monkeypatch.setenv("NO_COLOR", "1")
    assert not screen(no_color=False).colour
    assert screen(no_color=False).width is not None


def test_what_a_rollout_rested_on_is_not_told_when_it_is_over() -> None:
    shown = texts(view(phase="RolledBack", step=""))
    assert not [line for line in shown if line.startswith(("  analysis", "  forecast", "  notice", "  step"))]
