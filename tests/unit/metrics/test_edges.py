"""Which edges of the histogram enclose a threshold, and how they are spelled."""

import re

import pytest
from canaryrollout.metrics import edges, promql
from canaryrollout.metrics.edges import Enclosing, enclosing


@pytest.mark.parametrize(
    ("threshold", "below", "above"),
    [
        *((0.5, 500, 500), (0.4, 250, 500), (0.25, 250, 250), (0.2501, 250, 500), (0.0001, None, 0.5), (1, 1000, 1000)),
        *((3600, 3600000, 3600000), (3600.1, 3600000, None), (0.1 + 0.2, 250, 500)),
    ],
)
def test_a_threshold_is_enclosed_by_istios_edges(threshold: float, below: float | None, above: float | None) -> None:
    assert enclosing(threshold, ()) == Enclosing(below, above)


def test_measured_edges_come_before_istios() -> None:
    assert enclosing(0.5, (100.0, 400.0, 750.0)) == Enclosing(400.0, 750.0)
    assert enclosing(0.05, (100.0, 400.0)) == Enclosing(None, 100.0)


def test_a_threshold_on_an_edge_is_not_moved_by_rounding() -> None:
    assert all(enclosing(edge / 1000.0, ()) == Enclosing(edge, edge) for edge in edges.DEFAULT)


@pytest.mark.parametrize(
    ("edge", "spellings"),
    [
        *((500.0, ["500", "500.0"]), (0.5, ["0.5"]), (1800000.0, ["1800000", "1800000.0", "1.8e+06"])),
        *((12.25, ["12.25"]), (1234567.0, ["1234567", "1234567.0", "1.234567e+06"]), (1e6, ["1000000", "1e+06"])),
    ],
)
def test_every_spelling_of_an_edge_matches_and_no_other_edge_does(edge: float, spellings: list[str]) -> None:
    pattern = re.sub(r"\\x\{([0-9a-f]+)\}", lambda match: re.escape(chr(int(match[1], 16))), Enclosing(edge, edge).pattern)
    assert all(re.fullmatch(pattern, spelling) for spelling in [*spellings, "+Inf"])
    others = {f"{other:g}" for other in edges.DEFAULT} | {f"{other:.1f}" for other in edges.DEFAULT}
    assert [other for other in others - set(spellings) if re.fullmatch(pattern, other)] == []


def test_both_edges_and_infinity_are_asked_for() -> None:
    assert set(Enclosing(250.0, 500.0).pattern.split("|")) >= {"250", "500", "[+]Inf"}
    assert Enclosing(None, 0.5).pattern.endswith("[+]Inf")


def test_edges_are_read_from_labels_of_any_kind() -> None:
    assert edges.read(["500.0", "+Inf", "0.5", "1.8e+06", "500", "NaN", "", "x", "-1"]) == (0.5, 500.0, 1800000.0)


@pytest.mark.parametrize("text", ['"', "'", "`", "\\", "\n", 'a"b', "\\\\"])
def test_escaped_text_stays_inside_both_kinds_of_quotes(text: str) -> None:
    escaped = promql.escape(text)
    assert not re.search(r"(?<!\\)(\\\\)*[\"'`\n]", escaped)
    assert not escaped.endswith("\\") or len(escaped) % 2 == 0


def test_no_names_match_nothing() -> None:
    assert promql.alternation(()) == promql.NOTHING
    assert promql.alternation(("a.b", "c|d")) == r"a[.]b|c\x{7c}d"


def test_durations_are_whole_units() -> None:
    assert [promql.duration(length) for length in (5000, 400, 1500, 60_000)] == ["5s", "400ms", "1500ms", "60s"]
