"""What is shown of a rejection."""

from canaryrollout.core.sync import nack_reason


def test_the_reason_is_taken_from_behind_the_dump_of_the_resource() -> None:
    text = (
        'goo.gle/debugstr name: "outbound|80||reviews"\ntype: EDS\n}\n: Proto constraint validation failed (X.ConnectTimeout: too small)\n'
    )
    assert nack_reason(text) == "Proto constraint validation failed (X.ConnectTimeout: too small)"


def test_a_text_without_a_dump_is_shown_as_it_is_on_one_line() -> None:
    assert nack_reason("unknown cluster\n\x1b[31mv9") == "unknown cluster [31mv9"
