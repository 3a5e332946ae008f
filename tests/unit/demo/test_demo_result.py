"""How a release is measured and judged."""

import io

from canaryrollout.api.status import HistoryEntry
from demo.releases import RELEASES
from demo.report import report
from demo.result import Result, measure
from localmesh.load import Answer
from rich.console import Console

V2, V3, V4 = RELEASES


def entry(version: str, outcome: str, reason: str = "") -> HistoryEntry:
    return HistoryEntry.model_validate(
        {"version": version, "stable": "v1", "outcome": outcome, "reason": reason, "message": "said", "startedAt": 100.0, "endedAt": 120.0}
    )


def answer(start: float, version: str = "v1", status: int = 200, ms: float = 10.0) -> Answer:
    return Answer(start=start, t=start + ms / 1000.0, ms=ms, status=status, version=version)


def test_only_requests_of_the_release_count() -> None:
    found = measure(V2, entry("v2", "Promoted"), [answer(99.9), answer(100.0), answer(119.9, "v2", 500), answer(120.0, "v2")])
    assert (found.requests, found.failed, found.slow, found.duration) == (2, 1, 0, 20.0)


def test_exposure_is_from_the_first_bad_answer_to_the_proof() -> None:
    answers = [answer(105.0, "v3"), answer(107.99, "v3", 500), answer(110.0, "v3", 500)]
    assert measure(V3, entry("v3", "RolledBack"), answers).exposure == 12.0


def test_a_slow_answer_is_a_bad_one() -> None:
    found = measure(V4, entry("v4", "RolledBack"), [answer(109.2, "v4", ms=800.0)])
    assert (found.exposure, found.slow, found.failed) == (10.0, 1, 0)


def test_an_answer_without_a_version_may_be_the_releases_fault_but_a_bad_one_of_stable_is_not() -> None:
    answers = [answer(101.0, "v1", 500), answer(114.99, "", 503)]
    assert measure(V3, entry("v3", "RolledBack"), answers).exposure == 5.0


def test_answers_of_a_version_after_its_proved_rollback_are_not_hidden() -> None:
    found = measure(V3, entry("v3", "RolledBack"), [answer(105.0, "v3", 500), answer(125.0, "v3", 500), answer(125.0)])
    assert (found.requests, found.failed) == (2, 2)


def test_a_promoted_release_has_no_exposure() -> None:
    assert measure(V2, entry("v2", "Promoted"), [answer(105.0, "v2", 500)]).exposure is None


def test_only_the_expected_ending_for_the_expected_reason_is_right() -> None:
    assert measure(V3, entry("v3", "RolledBack", "ErrorRate"), []).complaint == ""
    assert "Promoted" in measure(V3, entry("v3", "Promoted"), []).complaint
    assert "RolledBack for Latency" in measure(V3, entry("v3", "RolledBack", "Latency"), []).complaint
    assert measure(V2, entry("v2", "RolledBack", "Latency"), []).complaint == (
        "v2 should have ended as Promoted, but: RolledBack for Latency (said)"
    )


def test_the_report_fits_80_columns_and_names_every_number() -> None:
    results = [
        Result(V2, "Promoted", "", "", 147.9, 44_375, 0, 175, None),
        Result(V3, "RolledBack", "ErrorRate", "31 of 67 canary requests failed", 11.6, 3_482, 69, 0, 10.9),
    ]
    console = Console(file=io.StringIO(), width=80, highlight=False)
    console.print(*report(results), sep="\n")
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.split() == ["v2", "Promoted", "147.9", "s", "44,375", "0", "175", "-"] for line in lines)
    assert any(line.split() == ["v3", "RolledBack", "11.6", "s", "3,482", "69", "0", "10.9", "s"] for line in lines)
    assert any("31 of 67" in line for line in lines)
