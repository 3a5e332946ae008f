"""JSON as an API server writes it, so that it finds what it compares alike."""

import json
from typing import Any

import pytest
from canaryrollout.kube.text import go_json
from hypothesis import given
from hypothesis import strategies as st

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e15, 1e15) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(values)
def test_the_text_says_what_the_value_was(value: Any) -> None:
    assert json.loads(go_json(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param("größe", '"größe"', id="letters as they are"),
        pytest.param("a<b>&c", r'"a\u003cb\u003e\u0026c"', id="what HTML might take for its own"),
        pytest.param("\u2028\u2029", r'"\u2028\u2029"', id="what JavaScript might take for the end of a line"),
        pytest.param('"\\\n\b\x01\x7f', '"\\"\\\\\\n\\b\\u0001\x7f"', id="what JSON demands"),
        pytest.param({"a&b": [1, None, True]}, r'{"a\u0026b":[1,null,true]}', id="keys too"),
        pytest.param(5.0, "5", id="whole numbers"),
        pytest.param(1e-5, "0.00001", id="small ones without an exponent"),
        pytest.param(2.5e-7, "2.5e-7", id="smaller ones with a short one"),
        pytest.param(1e20, "100000000000000000000", id="large ones without"),
        pytest.param(1e21, "1e+21", id="larger ones with"),
        pytest.param(1764090000.123, "1764090000.123", id="times"),
    ],
)
def test_it_is_spelled_as_go_spells_it(value: Any, text: str) -> None:
    assert go_json(value) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [-float("inf")]])
def test_what_json_does_not_have_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="no JSON number"):
        go_json(value)
