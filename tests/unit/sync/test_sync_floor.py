"""The push from which on an istiod's configuration is the expected one: each rule of core.sync_floor by itself."""

from dataclasses import replace

import pytest
from canaryrollout.core.sync import Connection, Watched
from canaryrollout.core.sync_floor import (
    CONFIRM_SECONDS,
    DOUBT_SECONDS,
    PATIENCE_LIMIT,
    PATIENCE_SECONDS,
    QUEUE_SECONDS,
    QUIET_SECONDS,
    Floor,
)

START = 1000.0
JUST = 1e-6


def nonce(push: int) -> str:
    return f"2026-01-01T00:00:00Z/{push}" + "0" * 36


def proxy(name: str, routes: int, endpoints: int = 1, acked: int | None = None) -> Connection:
    """Everything acknowledged, unless `acked` is the older push whose routes were."""
    routes_watched = Watched(nonce(routes), nonce(routes if acked is None else acked))
    watches = {"clusters": Watched(nonce(1), nonce(1)), "routes": routes_watched, "endpoints": Watched(nonce(endpoints), nonce(endpoints))}
    return Connection(f"{name}.shop", "sidecar", watches)


def seen(floor: Floor, *connections: Connection, now: float) -> Floor:
    return floor.seen(connections, connections, "routes", now)


def found(first: int, *connections: Connection) -> Floor:
    """N is known to be `first`, since START; the question was put when everyone was at push 1."""
    floor = Floor.start([proxy("a", 1)], START - 100.0).looked([(first, True)], START - 2 * CONFIRM_SECONDS)
    floor = seen(floor, *(connections or [proxy("a", first)]), now=START)
    assert floor.first == first
    return floor


def test_no_dump_is_taken_while_nothing_was_pushed_to_the_proxy_since_the_question() -> None:
    floor = Floor.start([proxy("a", 6)], START)
    assert not floor.may_look(proxy("a", 6), "routes", START + PATIENCE_SECONDS - JUST)
    assert floor.may_look(proxy("a", 7), "routes", START)


def test_a_configuration_that_was_there_before_is_looked_for_after_a_while_and_ever_less_often() -> None:
    floor = Floor.start([proxy("a", 6)], START)
    now, waits = START, []
    for _ in range(6):
        waits.append(floor.look_at - now)
        now = floor.look_at
        assert floor.may_look(proxy("a", 6), "routes", now)
        floor = floor.looked([(6, False)], now)
    assert waits == [1.5, 3.0, 6.0, 12.0, 12.0, 12.0]
    assert waits[-1] == PATIENCE_LIMIT


def test_after_a_dump_that_did_not_show_it_only_a_later_push_is_worth_a_look() -> None:
    floor = Floor.start([proxy("a", 6)], START).looked([(8, False)], START)
    assert not floor.may_look(proxy("a", 8), "routes", START)
    assert floor.may_look(proxy("a", 9), "routes", START)


def test_a_label_is_no_push_yet_what_was_shown_may_be_cached_from_a_newer_one() -> None:
    floor = Floor.start([proxy("a", 6)], START).looked([(7, True)], START)
    assert seen(floor, proxy("a", 7), now=START + CONFIRM_SECONDS - JUST).first is None
    assert seen(floor, proxy("a", 7), proxy("b", 8), now=START + CONFIRM_SECONDS + JUST).first == 8
    assert seen(floor, proxy("a", 7), proxy("b", 6), now=START + CONFIRM_SECONDS + JUST).first == 7


def test_a_dump_that_shows_the_old_configuration_voids_what_was_found() -> None:
    floor = found(7).looked([(9, False)], START)
    assert (floor.first, floor.candidate, floor.baseline) == (None, None, 9)


def test_an_acknowledged_nonce_of_any_type_from_the_push_or_later_clears_a_proxy_with_older_routes() -> None:
    behind = proxy("b", 5, endpoints=9)
    assert seen(found(8), proxy("a", 8), behind, now=START).first == 5


def test_a_proxy_with_older_nonces_is_looked_at_soon_if_it_was_pushed_since_the_question() -> None:
    floor = seen(found(8), proxy("a", 8), proxy("b", 5), now=START)
    assert floor.wants(START + DOUBT_SECONDS - JUST) is None
    assert floor.wants(START + DOUBT_SECONDS) == "b.shop"


def test_a_proxy_that_stayed_behind_while_others_moved_is_left_alone_longer() -> None:
    floor = replace(found(8), began_at=START)
    waiting = seen(floor, proxy("a", 8), proxy("b", 1), now=START)
    assert waiting.wants(START + QUIET_SECONDS - JUST) is None
    assert waiting.wants(START + QUIET_SECONDS) == "b.shop"
    nobody_moved = replace(floor, began=8)
    assert seen(nobody_moved, proxy("a", 8), proxy("b", 1), now=START).wants(START + DOUBT_SECONDS) == "b.shop"


def doubtful(label: int) -> tuple[Floor, Connection]:
    """N is 8; b is at push 5 and its own dump showed the configuration, at START."""
    behind = proxy("b", 5)
    floor = seen(found(8), proxy("a", 8), behind, now=START - 1.0)
    return floor.examined(label, behind.nonces, shown=True, now=START), behind


@pytest.mark.parametrize(("label", "seconds"), [(8, QUIET_SECONDS), (9, QUIET_SECONDS), (7, QUEUE_SECONDS)])
def test_where_nothing_moves_time_clears_a_proxy_whose_own_dump_was_good(label: int, seconds: float) -> None:
    floor, behind = doubtful(label)
    assert seen(floor, proxy("a", 8), behind, now=START + seconds - JUST).first == 8
    assert seen(floor, proxy("a", 8), behind, now=START + seconds).first == 5


def test_time_clears_nothing_where_something_was_sent_since() -> None:
    floor, _ = doubtful(8)
    assert seen(floor, proxy("a", 8), proxy("b", 5, endpoints=6), now=START + 1000.0).first == 8
    outstanding = proxy("b", 6, acked=5)
    assert seen(floor, proxy("a", 8), outstanding, now=START + 1000.0).first == 8


def test_a_later_label_clears_a_proxy_on_the_next_reading_of_its_nonces() -> None:
    floor, behind = doubtful(8)
    floor = floor.examined(9, behind.nonces, shown=True, now=START + 1.0)
    assert seen(floor, proxy("a", 8), behind, now=START + 1.0).first == 8, "these may have been read before"
    assert seen(floor, proxy("a", 8), behind, now=START + 1.1).first == 5


def test_a_later_label_does_not_help_where_the_earlier_was_below_the_push() -> None:
    floor, behind = doubtful(7)
    floor = floor.examined(9, behind.nonces, shown=True, now=START + 1.0)
    assert seen(floor, proxy("a", 8), behind, now=START + 1.1).first == 8
    assert seen(floor, proxy("a", 8), behind, now=START + 1.0 + QUIET_SECONDS).first == 5


def test_a_doubtful_proxy_that_shows_the_old_configuration_voids_everything() -> None:
    floor, behind = doubtful(8)
    assert floor.examined(8, behind.nonces, shown=False, now=START).first is None
