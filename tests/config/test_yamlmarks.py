"""The YAML reader: values, places, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lite.config.yamlmarks import MAX_BYTES, Document, read_document
from lite.errors import ConfigInvalid
from tests.config.outcomes import outcome


def read(text: str, **more: Any) -> Document:
    return read_document(text, "f.yaml", ConfigInvalid, **more)


def refusal(text: str) -> ConfigInvalid:
    with pytest.raises(ConfigInvalid) as caught:
        read(text)
    return caught.value


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Nd")), max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc-_ 1", max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(_values)
def test_what_pyyaml_writes_is_read_back(value: Any) -> None:
    assert read(yaml.safe_dump(value, allow_unicode=True)).value == value


@given(_values)
def test_json_is_yaml(value: Any) -> None:
    assert read(json.dumps(value, ensure_ascii=False).replace("\x7f", "")).value == json.loads(
        json.dumps(value).replace("\\u007f", "")
    )


def test_places_point_at_keys_and_items() -> None:
    found = read("a:\n  b: [1, {c: 2}]\nd: x\n")
    assert found.place() == "f.yaml:1:1"
    assert found.place("a") == "f.yaml:1:1"
    assert found.place("a", "b") == "f.yaml:2:3"
    assert found.place("a", "b", 0) == "f.yaml:2:7"
    assert found.place("a", "b", 1, "c") == "f.yaml:2:11"
    assert found.place("a", "zz") == "f.yaml:1:1"
    assert found.place("d") == "f.yaml:3:1"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("off", "off"),
        ("12:30", "12:30"),
        ("2020-01-01", "2020-01-01"),
        ("007", 7),
        ("0o17", 15),
        ("0x1F", 31),
        ("1.50", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1e999", "1e999"),
        ("9" * 30, "9" * 30),
        ("'1'", "1"),
        ("!!str 1", "1"),
        ("~", None),
        ("''", ""),
        ("|\n  a\n  b\n", "a\nb\n"),
    ],
)
def test_scalars_mean_what_they_look_like(text: str, value: object) -> None:
    found = read(text).value
    assert (found, type(found)) == (value, type(value))


def test_where_nothing_is_typed_plain_scalars_stay_as_written() -> None:
    found = read("port: 8080\nversion: 1.10\nflag: true\nnone: null\n", typed=lambda path: path == ("flag",))
    assert found.value == {"port": "8080", "version": "1.10", "flag": True, "none": None}


def test_keys_are_text() -> None:
    assert read("1: a\ntrue: b\nnull: c\n").value == {"1": "a", "true": "b", "null": "c"}


def test_anchors_and_merges() -> None:
    found = read("base: &b {x: 1, y: 2}\nuse: *b\nmore:\n  y: 3\n  <<: *b\n  z: 4\nboth: {<<: [{x: 9}, *b]}\n")
    assert found.value["use"] == {"x": 1, "y": 2}
    assert found.value["more"] == {"y": 3, "x": 1, "z": 4}
    assert found.value["both"] == {"x": 9, "y": 2}
    assert found.place("more", "x") == "f.yaml:5:3"
    assert found.place("use", "x") == "f.yaml:2:1"


@pytest.mark.parametrize(
    ("text", "line", "hint"),
    [
        ("a: 1\na: 2", "f.yaml:2:1: 'a' is here twice", "the first is at f.yaml:1:1"),
        ("x:\n  a: 1\n  'a': 2", "f.yaml:3:3: 'a' is here twice", "the first is at f.yaml:2:3"),
        ("a:\n\tb: 1", "f.yaml:2:1: a tab where YAML wants spaces", "indent with spaces"),
        ("a: b: c", "f.yaml:1:5: broken YAML: mapping values are not allowed in this context", ""),
        ("a: [1", None, ""),
        ("a: 'x", None, ""),
        ("a: *nobody", "f.yaml:1:4: the alias *nobody has no anchor before it", ""),
        ("a: &a [*a]", "f.yaml:1:8: the alias *a has no anchor before it", ""),
        ("a: 1\n---\nb: 1", "f.yaml:2:1: a second document begins here", "one file holds one document"),
        ("? [a]\n: b", "f.yaml:1:3: a key must be plain text", ""),
        ("<<: 3", "f.yaml:1:1: << merges mappings only", ""),
        ("a: !!python/object:os.system x", None, ""),
        ("a: !x y", "f.yaml:1:4: the tag '!x' is not allowed", ""),
        ("a: !!binary aGk=", None, ""),
        ("k" * 300 + ": 1", "f.yaml:1:1: a key longer than 256 characters", ""),
        ("a: !!int 5", "f.yaml:1:4: the tag 'tag:yaml.org,2002:int' is not allowed", ""),
        ("a\0b", "f.yaml:1:2: this is a binary file, not YAML", ""),
        ("x: 1\ny: a\x1b[31m", "f.yaml:2:5: the control character U+001B cannot stand here", ""),
        ('a: "\\0"', "f.yaml:1:4: a NUL or half a character, which no text may hold", ""),
        ("a: \ud800", "f.yaml:1:4: this is not UTF-8 text", ""),
        ("[" * 60, "f.yaml:1:42: nested more than 40 deep", ""),
        ("- " * 50_000, "f.yaml:1:83: nested more than 40 deep", ""),
        ("x: " + "a" * MAX_BYTES, "f.yaml: this is larger than 1 MiB (1.0 MiB)", ""),
    ],
)
def test_refusals_name_the_place(text: str, line: str | None, hint: str) -> None:
    found = refusal(text)
    if line is not None:
        assert (str(found), found.hint) == (line, hint)
    assert found.place.startswith("f.yaml")
    assert found.message.isprintable()


def test_a_billion_laughs_are_refused_before_they_are_expanded() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 10)}]" for at in range(1, 12)]
    assert refusal("\n".join(lines)).message == "more than 100000 values, aliases expanded"


@given(st.text(st.sampled_from("abc:-[]{}&*!|>'\"#%@\n\t ?,<~0.\\é"), max_size=40))
def test_any_text_gives_a_document_or_our_error(text: str) -> None:
    found = outcome(read, text)
    if isinstance(found, ConfigInvalid):
        assert found.place.startswith("f.yaml")
        assert found.message
    else:
        assert () in found.places or found.value is None
