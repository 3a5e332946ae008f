"""Reading and counting what clients saw."""

import json
from pathlib import Path

from demo.clients import Records, Seen, tally
from localmesh.load import Answer


def line(**changed: object) -> str:
    return json.dumps({"t": 1.0, "start": 0.9, "ms": 100.0, "status": 200, "version": "v1", **changed}) + "\n"


def answer(start: float, version: str, status: int = 200, ms: float = 10.0) -> Answer:
    return Answer(start=start, t=start + ms / 1000.0, ms=ms, status=status, version=version)


def test_records_are_read_as_they_grow_and_half_a_line_waits_for_its_rest(tmp_path: Path) -> None:
    path = tmp_path / "load.jsonl"
    records = Records(path)
    records.read()
    assert records.answers == []
    last = line(status=0, version="", error="refused")
    path.write_text(line() + last[:20])
    records.read()
    assert [found.status for found in records.answers] == [200]
    path.write_text(line() + last)
    records.read()
    records.read()
    assert [(found.status, found.error) for found in records.answers] == [(200, None), (0, "refused")]


def test_counts_are_per_version_from_a_moment_on() -> None:
    answers = [
        answer(1.0, "v1"),
        answer(9.9, "v1", ms=300.0),
        answer(10.0, "v1"),
        answer(11.0, "v2", 500),
        answer(12.0, "", 0, 600.0),
        answer(18.0, "v1"),
    ]
    seen = tally(answers, since=10.0, now=20.0)
    assert [(s.version, s.requests, s.failed, s.slow) for s in seen] == [("", 1, 1, 1), ("v1", 2, 0, 0), ("v2", 1, 1, 0)]


def test_shares_are_those_of_the_last_seconds() -> None:
    answers = [*(answer(10.0, "v2") for _ in range(50)), *(answer(18.0, "v1") for _ in range(3)), answer(18.0, "v2")]
    assert tally(answers, since=0.0, now=20.0) == (Seen("v1", 3, 0, 0, 0.75), Seen("v2", 51, 0, 0, 0.25))
    assert all(seen.share == 0.0 for seen in tally(answers, since=0.0, now=99.0))
