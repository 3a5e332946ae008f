"""The load generator's records, as tests read them; a script stands in for the generator."""

import json
from pathlib import Path
from typing import Any

import pytest
from localmesh.errors import LocalMeshError
from localmesh.load import running


def script(folder: Path, body: str) -> Path:
    """A program that knows where its --out is, as $OUT."""
    path = folder / "meshkit"
    head = '#!/bin/sh\nwhile [ "$1" != --out ]; do shift; done; OUT=$2\n'
    path.write_text(f"{head}{body}\n")
    path.chmod(0o755)
    return path


def record(start: float, status: int, version: str) -> str:
    return json.dumps({"start": start, "t": start + 0.1, "ms": 100.0, "status": status, "version": version})


def start(program: Path, folder: Path) -> Any:
    return running(program, folder, url="http://x/", host=None, rps=1, version_header="x")


WAIT = "trap 'exit 0' TERM; while :; do sleep 0.05; done"


def test_answers_appear_as_they_are_written_and_stay_afterwards(tmp_path: Path) -> None:
    lines = "\n".join([record(1, 200, "v1"), record(2, 503, ""), record(3, 0, "")])
    program = script(tmp_path, f"cat > $OUT <<'EOF'\n{lines}\nEOF\nprintf '%s' '{{\"half a li' >> $OUT\n{WAIT}")
    with start(program, tmp_path) as load:
        while len(load.answers()) < 3:
            pass
    assert [answer.status for answer in load.answers()] == [200, 503, 0]
    assert [answer.status for answer in load.failures()] == [503, 0]
    assert load.versions(since=0) == {"v1": 1, "": 2}
    assert len(load.answers(since=2)) == 2


def test_a_generator_that_fails_is_reported_with_its_words(tmp_path: Path) -> None:
    program = script(tmp_path, "echo no such host; exit 3")
    with pytest.raises(LocalMeshError, match="no such host"), start(program, tmp_path) as load:
        load._process.wait()


def test_a_failing_test_ends_the_generator_all_the_same(tmp_path: Path) -> None:
    program = script(tmp_path, WAIT)
    with pytest.raises(ZeroDivisionError), start(program, tmp_path) as load:
        raise ZeroDivisionError
    assert load._process.poll() is not None


def test_the_rate_is_handed_over_in_a_file(tmp_path: Path) -> None:
    with start(script(tmp_path, WAIT), tmp_path) as load:
        load.set_rate(250)
        (rate,) = tmp_path.glob("*.rps")
        assert rate.read_text() == "250"
