"""Answers of a wrong shape, or with numbers that cannot be counts."""

import pytest
from asking import AT, failure, sample
from hostile import ok, raw


@pytest.mark.parametrize(
    "result",
    [
        [sample("NaN")],
        [sample("+Inf")],
        [sample("-1")],
        [sample("7e300")],
        [sample("many")],
        [sample(time=AT / 1000 + 1)],
        [{"metric": {}, "value": [AT / 1000, 7]}],
        [{"metric": {}, "value": [AT / 1000]}],
        [{"metric": {"a": 1}, "value": [AT / 1000, "7"]}],
        [{"metric": {}, "values": [[AT / 1000, "7"]]}],
        [{"metric": {}, "histogram": [AT / 1000, {}]}],
        [[AT / 1000, "7"]],
        ["seven"],
    ],
)
async def test_numbers_that_are_no_counts_are_refused(result: list[object]) -> None:
    assert (await failure(ok(result))).reason == "PrometheusInvalidAnswer"


@pytest.mark.parametrize(
    "body",
    [
        "[]",
        "null",
        '"x"',
        "{}",
        '{"status":"success"}',
        '{"status":"success","data":[]}',
        '{"status":"success","data":{}}',
        '{"status":"success","data":{"result":NaN}}',
        "[" * 100_000,
        '{"status":"success","data":{"result":[]}} trailing',
        b"\xff\xfe\x00",
        "",
    ],
)
async def test_json_of_another_shape_is_refused(body: str | bytes) -> None:
    assert (await failure(raw(body))).reason in {"PrometheusInvalidAnswer", "PrometheusRefused"}
