"""The picture of a run."""

from xml.etree import ElementTree

import pytest
from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.simulate.many import run_one
from canaryrollout.simulate.picture import WIDTH, draw
from canaryrollout.simulate.replay import Shell
from canaryrollout.simulate.trace import Point, Recorder
from canaryrollout.simulate.traffic import Traffic

SPEC = CanaryRolloutSpec(service="reviews", version="v2")
SVG = "{http://www.w3.org/2000/svg}"


def recorded(traffic: Traffic) -> Recorder:
    recorder = Recorder(SPEC)
    run_one(SPEC, traffic, Shell(), "1/1", watch=recorder)
    return recorder


@pytest.fixture(scope="module")
def healthy() -> Recorder:
    return recorded(Traffic(rps=500, canary_errors=0.001, stable_errors=0.001))


@pytest.fixture(scope="module")
def broken() -> Recorder:
    return recorded(Traffic(rps=50, canary_errors=0.3, stable_errors=0.001))


def drawing(recorder: Recorder) -> ElementTree.Element:
    return ElementTree.fromstring(draw("a <title> & more", ["a line"], recorder.points, recorder.limits))


def test_the_evidence_against_a_broken_release_crosses_its_line(broken: Recorder) -> None:
    assert max(point.against for point in broken.points) >= broken.limits.fail_line
    assert broken.points[0].against == pytest.approx(1.0)


def test_the_evidence_for_a_healthy_release_crosses_its_line_at_each_step(healthy: Recorder) -> None:
    for before, after in zip(healthy.points, healthy.points[1:], strict=False):
        if 0 < before.weight < after.weight:
            assert after.in_favour is not None
            assert after.in_favour >= healthy.limits.pass_line * 0.99
    assert max(point.against for point in healthy.points) < healthy.limits.fail_line


def test_everything_is_inside_the_drawing(broken: Recorder, healthy: Recorder) -> None:
    for recorder in (broken, healthy):
        picture = drawing(recorder)
        height = float(picture.get("height", "0"))
        for shape in picture.iter(f"{SVG}polyline"):
            for pair in (shape.get("points") or "").split():
                x, y = (float(number) for number in pair.split(","))
                assert 0 <= x <= WIDTH
                assert 0 <= y <= height


def test_text_is_escaped(broken: Recorder) -> None:
    assert next(drawing(broken).iter(f"{SVG}text")).text == "a <title> & more"


def test_a_run_that_ended_at_once_can_be_drawn(broken: Recorder) -> None:
    first: Point = broken.points[0]
    assert draw("short", [], [first], broken.limits).startswith("<svg")
