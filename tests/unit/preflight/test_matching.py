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
_NAMED = st.dictionaries(st.sampled_from(["x", "y"]), _STRING | st.none(), max_size=2)
_MATCH = st.fixed_dictionaries(
    {},
    optional={
        "uri": _STRING,
        "ignoreUriCase": st.booleans(),
        "headers": _NAMED,
        "queryParams": _NAMED,
        "withoutHeaders": _NAMED,
        "sourceLabels": st.dictionaries(st.sampled_from(["app", "version"]), st.sampled_from(["a", "b", None]), max_size=2),
        "method": _STRING | st.none(),
        "authority": _STRING,
        "port": st.sampled_from([80, 81, None]),
        "gateways": st.lists(st.sampled_from(["mesh", "edge"]), max_size=2),
        "unknown": st.just(1),
    },
)
_ROUTE = st.builds(lambda matches: {"match": matches}, st.lists(_MATCH, max_size=2))


@given(st.lists(_ROUTE, max_size=5), _MATCH, st.sampled_from([("mesh",), ("mesh", "edge")]))
def test_the_first_that_takes_everything_is_found(routes: list[dict[str, Any]], match: dict[str, Any], gateways: tuple[str, ...]) -> None:
    earlier, (asked,) = Earlier(gateways), matches_of({"match": [match]})
    for index, route in enumerate(routes):
        earlier.add(index, route)

    each = (index for index, route in enumerate(routes) if any(takes_all(wide, asked, gateways) for wide in matches_of(route)))
    assert earlier.taking(asked) == next(each, None)


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


@pytest.mark.parametrize(
    "wide",
    [
        {"headers": {"x": None}},
        {"sourceLabels": {"app": None}},
        {"withoutHeaders": {"x": None}},
        {"port": None, "queryParams": None},
        {"gateways": None, "unknown": None},
        {"uri": {"prefix": "/a", "exact": None}},
    ],
)
def test_a_null_is_as_good_as_not_given_as_the_api_server_reads_it(wide: dict[str, Any]) -> None:
    earlier = Earlier()
    earlier.add(7, {"match": [wide]})
    assert earlier.taking({"uri": {"exact": "/a/b"}}) == 7
    narrow = {"headers": {"x": {"exact": "1"}}, "queryParams": {"q": {"exact": "1"}}, "uri": {"prefix": "/a/b"}, "port": 80}
    assert earlier.taking(narrow) == 7


def test_a_null_is_no_condition_of_the_match_that_is_taken_either() -> None:
    earlier = Earlier()
    earlier.add(7, {"match": [{"headers": {"x": {"prefix": ""}}}]})
    (asked,) = matches_of({"match": [{"headers": {"x": None}}]})
    assert earlier.taking(asked) is None


@pytest.mark.parametrize(
    "match",
    [
        {"authority": {"prefix": "/"}},
        {"headers": {"referer": {"prefix": "/"}}},
        {"queryParams": {"next": {"prefix": "/"}}},
        {"withoutHeaders": {"referer": {"prefix": "/"}}},
    ],
)
def test_only_paths_begin_with_a_slash_whatever_they_are(match: dict[str, Any]) -> None:
    earlier = Earlier()
    earlier.add(7, {"match": [match]})
    ((kind, wanted),) = match.items()
    other = {"exact": "example.com"}
    assert earlier.taking({kind: other if kind == "authority" else dict.fromkeys(wanted, other)}) is None
