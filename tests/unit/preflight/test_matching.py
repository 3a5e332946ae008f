"""Which of the earlier matches takes all requests of a later one: looked up, and found as if each were compared."""

from typing import Any

import pytest
from canaryrollout.core.preflight.matching import Earlier, matches_of, takes_all
from hypothesis import given
from hypothesis import strategies as st

_WORDS = st.sampled_from(["", "/", "/a", "/A", "/a/b", "/b"])
_STRING = st.one_of(
    st.builds(lambda text: {"exact": text}, _WORDS),
    st.builds(lambda text: {"prefix": text}, _WORDS),
    st.builds(lambda text: {"regex": text}, _WORDS),
    st.builds(lambda text, other: {"prefix": text, "exact": other}, _WORDS, _WORDS),
    st.just({}),
)
_NAMED = st.dictionaries(st.sampled_from(["x", "y"]), _STRING, max_size=2)
_MATCH = st.fixed_dictionaries(
    {},
    optional={
        "uri": _STRING,
        "ignoreUriCase": st.booleans(),
        "headers": _NAMED,
        "queryParams": _NAMED,
        "withoutHeaders": _NAMED,
        "sourceLabels": st.dictionaries(st.sampled_from(["app", "version"]), st.sampled_from(["a", "b"]), max_size=2),
        "method": _STRING,
        "authority": _STRING,
        "port": st.sampled_from([80, 81]),
        "gateways": st.lists(st.sampled_from(["mesh", "edge"]), max_size=2),
        "unknown": st.just(1),
    },
)
_ROUTE = st.builds(lambda matches: {"match": matches}, st.lists(_MATCH, max_size=2))


@given(st.lists(_ROUTE, max_size=5), _MATCH, st.sampled_from([("mesh",), ("mesh", "edge")]))
def test_the_first_that_takes_everything_is_found(routes: list[dict[str, Any]], match: dict[str, Any], gateways: tuple[str, ...]) -> None:
    earlier = Earlier(gateways)
    for index, route in enumerate(routes):
        earlier.add(index, route)

    each = (index for index, route in enumerate(routes) if any(takes_all(wide, match, gateways) for wide in matches_of(route)))
    assert earlier.taking(match) == next(each, None)


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ({}, {"uri": {"exact": "/a"}}),
        ({"uri": {"prefix": "/a"}}, {"uri": {"exact": "/a/b"}}),
        ({"uri": {"prefix": "/A"}, "ignoreUriCase": True}, {"uri": {"prefix": "/a/b"}}),
        ({"headers": {"x": {"exact": "1"}}}, {"headers": {"x": {"exact": "1"}, "y": {"regex": ".*"}}}),
        ({"headers": {"x": {"prefix": "1"}}}, {"headers": {"x": {"exact": "12"}}}),
        ({"sourceLabels": {"app": "a"}}, {"sourceLabels": {"app": "a"}, "method": {"exact": "GET"}}),
    ],
)
def test_a_wider_match_takes_a_narrower_one_and_not_the_other_way_round(wide: dict[str, Any], narrow: dict[str, Any]) -> None:
    first, second = Earlier(), Earlier()
    first.add(7, {"match": [wide]})
    second.add(7, {"match": [narrow]})

    assert first.taking(narrow) == 7
    assert second.taking(wide) is None
