"""Moments of a real run of the demo, as `demo.watch` got them from the API server and the load generator (recorded.jsonl)."""

import json
from collections.abc import Mapping
from pathlib import Path

from demo.clients import Seen
from demo.frame import Frame, Split, acknowledged, events_of, status_of, steps_of
from demo.releases import RELEASES


def load() -> Mapping[str, Frame]:
    """Frames by name, in the order in which they happened."""
    frames: dict[str, Frame] = {}
    proved: Split = {}
    for line in Path(__file__).with_name("recorded.jsonl").read_text().splitlines():
        moment = json.loads(line)
        status = status_of(moment["rollout"])
        proved = acknowledged(proved, status)
        frames[moment["name"]] = Frame(
            now=moment["now"],
            began=moment["began"],
            activity=moment["activity"],
            release=next((release for release in RELEASES if release.version == moment["release"]), None),
            steps=steps_of(moment["rollout"]),
            status=status,
            acknowledged=proved,
            clients=tuple(Seen(**seen) for seen in moment["clients"]),
            events=events_of(moment["events"]),
        )
    return frames


FRAMES = load()
