"""Kubernetes objects from YAML and JSON files, with the lines they came from."""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]

STDIN = "<stdin>"
_SUFFIXES = (".yaml", ".yml", ".json")
_MOST_VALUES = 1_000_000
"""Of one object: more than an API server takes."""
_LARGEST_WHOLE = 2.0**53
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_BLANK = re.compile(r"\s*")
_NAME, _NAMESPACE = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9.]*[a-z0-9])?"), re.compile(r"(?=.{1,63}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?")


class ManifestsError(Exception):
    """The files cannot be used; the message says where and why, in one line."""


class _Loader(yaml.SafeLoader):
    """As Kubernetes reads YAML: a date is a string."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _text(loader: _Loader, node: yaml.ScalarNode) -> str:
    """JSON may write a letter as two halves, "\\ud83d\\ude00", which YAML would leave apart."""
    value = str(loader.construct_scalar(node))
    return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


_Loader.add_constructor("tag:yaml.org,2002:str", _text)


@dataclass(frozen=True, slots=True)
class Document:
    """One object and where it stands."""

    file: str
    body: Object
    node: yaml.Node

    @property
    def kind(self) -> str:
        """Its kind."""
        return str(self.body["kind"])

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.body["metadata"]["name"])

    def line(self, path: str = "") -> int:
        """The line, counted from 1, of a place such as "spec.http[1].route[0]", or of the nearest one above it that exists."""
        node, mark = self.node, self.node.start_mark
        for name, index in _STEP.findall(path):
            if isinstance(node, yaml.MappingNode) and name:
                found = next(((key, value) for key, value in node.value if key.value == name), None)
                if found is None:
                    break
                mark, node = found[0].start_mark, found[1]
            elif isinstance(node, yaml.SequenceNode) and index and int(index) < len(node.value):
                node = node.value[int(index)]
                mark = node.start_mark
            else:
                break
        return int(mark.line) + 1

    @property
    def where(self) -> str:
        """For the beginning of a message."""
        return f"{self.file}:{self.line()}"


def read(paths: Iterable[str]) -> list[Document]:
    """The objects of files, of all files under folders, and of standard input ("-"), in order. Raises ManifestsError."""
    return [document for path in paths for name, text in _texts(path) for document in _documents(name, text)]


def _texts(path: str) -> Iterator[tuple[str, str]]:
    if path == "-":
        yield STDIN, _decoded(STDIN, sys.stdin.buffer.read())
        return
    found = Path(path)
    if not found.exists():
        raise ManifestsError(f"there is no file {path}")
    for file in _files(found) if found.is_dir() else [found]:
        try:
            yield str(file), _decoded(str(file), file.read_bytes())
        except OSError as error:
            raise ManifestsError(f"cannot read {file}: {error.strerror}") from None


def _files(folder: Path) -> list[Path]:
    """Not those of hidden folders, such as .git."""
    found = (file for file in folder.rglob("*") if file.suffix in _SUFFIXES and file.is_file())
    return sorted(file for file in found if not any(part.startswith(".") for part in file.relative_to(folder).parts))


def _decoded(name: str, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ManifestsError(f"{name} is not UTF-8") from None


def _documents(file: str, text: str) -> Iterator[Document]:
    for piece, line in _pieces(text):
        yield from _parsed(file, piece, line)


def _pieces(text: str) -> list[tuple[str, int]]:
    """What YAML can read, with the lines above it: JSON value by value, for they may follow each other, and without tabs."""
    found, at, decoder = list[tuple[str, int]](), 0, json.JSONDecoder()
    try:
        while (blank := _BLANK.match(text, at)) is not None and (start := blank.end()) < len(text):
            at = decoder.raw_decode(text, start)[1]
            found.append((text[start:at].replace("\t", " "), text.count("\n", 0, start)))
    except (ValueError, RecursionError):
        return [(text, 0)]
    return found


def _parsed(file: str, text: str, above: int) -> Iterator[Document]:
    loader = None
    try:
        loader = _Loader(text)
        loader.line = above
        while loader.check_node():
            node: yaml.Node = loader.get_node()  # type: ignore[assignment]  # there is one
            twice = _twice(file, node)
            for document in _objects(file, loader.construct_document(node), node):
                if twice and document.kind in READ:
                    raise ManifestsError(twice)
                yield document
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark is not None else ""
        hint = " (a template? give what it is rendered to, by `helm template` for one)" if "{{" in text else ""
        raise ManifestsError(f"{file}{line}: not valid YAML: {error.problem or error.context}{hint}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ManifestsError(f"{file}: not valid YAML: {error}") from None
    finally:
        if loader is not None:
            loader.dispose()


def _objects(file: str, body: Any, node: yaml.Node) -> Iterator[Document]:
    """Of a List its items. What is no Kubernetes object (values of a chart, an empty document) is passed over."""
    if not isinstance(body, dict) or not isinstance(body.get("kind"), str) or not isinstance(body.get("apiVersion"), str):
        return
    items = body.get("items")
    if body["kind"].endswith("List") and isinstance(items, list):
        holder = next(value for key, value in node.value if key.value == "items")
        for item, inner in zip(items, holder.value, strict=True):
            yield from _objects(file, item, inner)
        return
    metadata = body.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if isinstance(name, str) and (_NAME.fullmatch(name) if body["kind"] in READ else name):
        yield Document(file, body, node)
    elif body["kind"] in READ:
        where = f"{file}:{node.start_mark.line + 1}: {body['kind']}"
        if name in (None, ""):
            raise ManifestsError(f"{where} without metadata.name")
        if not isinstance(name, str):
            raise ManifestsError(f"{where}: metadata.name must be a string: write it in quotes")
        raise ManifestsError(f"{where}: metadata.name must be of small letters, digits, '-' and '.', at most 253, it is {name!r}")


def _twice(file: str, root: yaml.Node) -> str:
    """What to say of a key that comes twice, for some tools take the last and others refuse it; "" where none does.

    To be asked before the document is made of the nodes: from then on merge keys count as given.
    """
    seen, open_nodes = set[int](), [root]
    while open_nodes:
        node = open_nodes.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            first: dict[str, int] = {}
            for key, value in node.value:
                line = key.start_mark.line + 1
                if isinstance(key, yaml.ScalarNode) and key.value != "<<" and key.value in first:
                    return f"{file}:{line}: {key.value!r} is given twice, in line {first[key.value]} too"
                first[str(key.value)] = line
                open_nodes.append(value)
        elif isinstance(node, yaml.SequenceNode):
            open_nodes += node.value
    return ""


READ: Mapping[str, str] = {
    "CanaryRollout": "canaryrollout.io",
    "Service": "",
    "Deployment": "apps",
    "StatefulSet": "apps",
    "DaemonSet": "apps",
    "VirtualService": "networking.istio.io",
    "DestinationRule": "networking.istio.io",
    "Gateway": "networking.istio.io",
    "ServiceEntry": "networking.istio.io",
    "Sidecar": "networking.istio.io",
    "EnvoyFilter": "networking.istio.io",
    "PeerAuthentication": "security.istio.io",
}
"""The kinds that matter, with their API groups."""


def relevant(documents: Iterable[Document], namespace: str) -> list[Document]:
    """Those of the kinds that matter; what names no namespace is in `namespace`. Raises ManifestsError for one that comes twice."""
    found: dict[tuple[str, str, str], Document] = {}
    for document in documents:
        group, _, version = str(document.body["apiVersion"]).rpartition("/")
        if document.kind == "CanaryRollout" and (group, version) != ("canaryrollout.io", "v1beta1"):
            raise ManifestsError(f"{document.where}: apiVersion must be canaryrollout.io/v1beta1, not {document.body['apiVersion']}")
        if not version or READ.get(document.kind) != group:
            continue
        metadata = {k: v for k, v in document.body["metadata"].items() if v is not None}
        if metadata.get("namespace", "") == "":  # kubectl takes an empty one for none
            metadata["namespace"] = namespace
        if not _NAMESPACE.fullmatch(str(metadata["namespace"])):
            found_there = f"it is {str(metadata['namespace'])!r}"
            raise ManifestsError(
                f"{document.where}: metadata.namespace must be of small letters, digits and '-', at most 63, {found_there}"
            )
        placed = Document(document.file, _body(document, metadata), document.node)
        key = document.kind, str(metadata["namespace"]), document.name
        if key in found:
            raise ManifestsError(f"{placed.where}: {document.kind} {key[1]}/{key[2]} is already in {found[key].where}")
        found[key] = placed
    return list(found.values())


def _without_nulls(value: Any, room: list[int]) -> Any:
    """As the API server reads it: null is as good as not given. `room` is how many values may follow: aliases multiply."""
    room[0] -= 1
    if room[0] < 0:
        raise RecursionError
    if isinstance(value, dict):
        return {_key(name): _without_nulls(inner, room) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner, room) for inner in value]
    if value is not None and not isinstance(value, str | int | float):
        raise TypeError(f"a value of type {type(value).__name__}")
    # JSON knows no difference, and kubectl makes 5 of 5.0.
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST_WHOLE else value


def _key(name: Any) -> str:
    """As kubectl makes JSON of YAML, in which a key may be a number or true."""
    return json.dumps(name) if isinstance(name, int | float) else str(name)


def _body(document: Document, metadata: Object) -> Object:
    try:
        found: Object = _without_nulls({**document.body, "metadata": metadata}, [_MOST_VALUES])
    except RecursionError:
        raise ManifestsError(f"{document.where}: {document.kind} {document.name} is too large, or holds itself") from None
    except TypeError as error:
        raise ManifestsError(f"{document.where}: {document.kind} {document.name} holds {error}, which is no JSON") from None
    return found
