"""Custom metrics as admins and users write them: templates, limits, placeholders, permission."""

import re
from pathlib import Path
from typing import Any

import pytest
from canaryrollout.api.analysis import CustomMetric
from canaryrollout.core.snapshot import CustomMetricQuery, Problem
from canaryrollout.metrics import placeholders
from canaryrollout.metrics.custom import Template, TemplatesError, read_templates, resolve
from canaryrollout.metrics.placeholders import MissingValue, fill
from canaryrollout.metrics.provider import Question

QUESTION = Question(
    *("bookinfo", "reviews", ("reviews-v2", "reviews-v2.b"), ("reviews-v1",), 0.5), canary_version="v2", stable_version="v1"
)
TEMPLATES = {
    "checkout": Template(bad="sum(bad)", total="sum(all)", maxRate="1%"),  # type: ignore[call-arg]
    "queue": Template(value="sum(depth)", max=100),
    "bare": Template(bad="sum(bad)", total="sum(all)"),
}


def metric(**fields: Any) -> CustomMetric:
    return CustomMetric.model_validate({"name": "orders", **fields})


def refused(*metrics: CustomMetric, allow: bool = True) -> Problem:
    found = resolve(metrics, TEMPLATES, allow)
    assert isinstance(found, Problem)
    assert "'orders'" in found.message
    return found


def test_a_template_is_looked_up_and_its_limits_may_be_overridden() -> None:
    found = resolve((metric(template="checkout"), metric(template="queue", min="1", max="50")), TEMPLATES, False)
    assert found == (
        CustomMetricQuery(name="orders", bad="sum(bad)", total="sum(all)", max_rate=0.01),
        CustomMetricQuery(name="orders", value="sum(depth)", minimum=1.0, maximum=50.0),
    )
    assert resolve((), {}, False) == ()


def test_queries_of_ones_own_are_taken_where_the_admin_allows_them() -> None:
    ratio = metric(ratio={"bad": "sum(a)", "total": "sum(b)"}, maxRate="2%")
    value = metric(value="avg(c)", min="-5")
    assert resolve((ratio, value), {}, True) == (
        CustomMetricQuery(name="orders", bad="sum(a)", total="sum(b)", max_rate=0.02),
        CustomMetricQuery(name="orders", value="avg(c)", minimum=-5.0),
    )


def test_queries_of_ones_own_are_refused_where_they_are_not_allowed() -> None:
    problem = refused(metric(value="avg(c)", max="1"), allow=False)
    assert problem.reason == "CustomQueriesDisabled"
    assert "--metrics-allow-custom-queries" in problem.message
    assert "template" in problem.message
    assert "bare, checkout, queue" in problem.message


def test_an_unknown_template_is_told_with_those_that_exist() -> None:
    problem = refused(metric(template="chekout"), allow=False)
    assert problem.reason == "MetricTemplateUnknown"
    assert "bare, checkout, queue" in problem.message


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"template": "checkout", "max": "5"}, "a ratio takes maxRate"),
        ({"template": "queue", "maxRate": "5%"}, "a value takes min and max"),
        ({"template": "queue", "min": "101"}, "min is above max"),
        ({"template": "bare"}, "has maxRate"),
        ({"value": 'sum(x{v="{{version}}"})', "max": "1"}, "there is no placeholder {{version}}; there are {{namespace}}"),
        ({"value": 'sum(x{v="{{canary"})', "max": "1"}, "is not closed"),
        ({"ratio": {"bad": "a", "total": "{{ }}"}, "maxRate": "1%"}, "there is no placeholder {{}}"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_it_is_asked(fields: dict[str, Any], said: str) -> None:
    problem = refused(metric(**fields))
    assert problem.reason == "CustomMetricUnusable"
    assert said in problem.message


def test_a_file_of_templates_is_read(tmp_path: Path) -> None:
    path = tmp_path / "templates.yaml"
    path.write_text(
        "checkout:\n  description: Orders that fail.\n  bad: sum(bad)\n  total: sum(all)\n  maxRate: 1%\n"
        "queue: {value: sum(depth), max: 0.5}\n"
    )
    found = read_templates(path)
    assert found["checkout"].max_rate == 0.01
    assert found["checkout"].description == "Orders that fail."
    assert found["queue"].max == 0.5
    path.write_text("big: {value: sum(depth), max: 1e+06}")  # as Helm writes it
    assert read_templates(path)["big"].max == 1e6
    path.write_text("# none yet\n")
    assert read_templates(path) == read_templates(None) == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: {bad: x}", "a: give it either bad and total, or value"),
        ("a: {bad: x, total: y, value: z}", "a: give it either bad and total, or value"),
        ("a: {value: z, maxRate: 1%}", "a: a value takes min and max"),
        ("a: {bad: x, total: y, min: 1}", "a: a ratio takes maxRate"),
        ("a: {bad: x, total: y, maxRate: 1}", "a.maxRate: write a percentage in quotes"),
        ("a: {value: z, min: 2, max: 1}", "a: min is above max"),
        ("a: {value: '{{nonsense}}', max: 1}", "a: there is no placeholder {{nonsense}}"),
        ("a: {value: z, max: 1, query: q}", "a.query: "),
        ("a: {value: z, max: .inf}", "a: min and max must be finite"),
        ("a: {value: z, max: many}", "a.max: 'many' is not a number"),
        ("- a", "valid dictionary"),
        ("a: [", "cannot be read"),
    ],
)
def test_a_wrong_file_of_templates_is_refused_by_its_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "templates.yaml"
    path.write_text(text)
    with pytest.raises(TemplatesError) as refused:
        read_templates(path)
    assert said in str(refused.value)
    assert str(path) in str(refused.value)


def test_a_missing_file_of_templates_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TemplatesError, match="No such file"):
        read_templates(tmp_path / "none")


def test_placeholders_stand_for_the_rollouts_names() -> None:
    query = (
        'x{ns="{{namespace}}",s="{{ service }}",c="{{canary}}",o="{{stable}}",'
        'w=~"{{canary_workloads}}",v=~"{{stable_workloads}}"}[{{interval}}]'
    )
    assert fill(query, QUESTION, 5000) == ('x{ns="bookinfo",s="reviews",c="v2",o="v1",w=~"reviews-v2|reviews-v2[.]b",v=~"reviews-v1"}[5s]')
    assert placeholders.mistakes(query) == ""


@pytest.mark.parametrize("quote", ['"', "'"])
@pytest.mark.parametrize("hostile", ['a"} or up{b="', "a'} or up{b='", "a\\", 'a\\"', "a\nb", "{{stable}}"])
def test_a_value_stays_inside_its_string(hostile: str, quote: str) -> None:
    forged = Question(hostile, "reviews", (hostile,), (), 0.5, canary_version=hostile)
    query = "x{a=~Q{{canary_workloads}}Q,b=Q{{canary}}Q,c=Q{{namespace}}Q}".replace("Q", quote)
    inside = r"(?:[^QX\n]|\\.)*".replace("Q", quote).replace("X", "\\\\")
    label = f"=~?{quote}{inside}{quote}"
    assert re.fullmatch(rf"x\{{a{label},b{label},c{label}\}}", fill(query, forged, 5000))


def test_without_workloads_a_pattern_matches_nothing_rather_than_everything() -> None:
    query = fill('x{w=~"{{canary_workloads}}"}', Question("ns", "s", (), ("a",), 0.5), 5000)
    assert query == r'x{w=~"[^\\x00-\\x{10FFFF}]"}'


def test_an_empty_version_is_not_put_in() -> None:
    with pytest.raises(MissingValue, match="stable"):
        fill('x{v="{{stable}}"}', Question("ns", "s", ("a",), (), 0.5, canary_version="v2"), 5000)
