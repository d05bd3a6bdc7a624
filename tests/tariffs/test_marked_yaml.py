"""YAML with lines: scalars stay as written, faults name their line."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvproxy.tariffs.marked_yaml import LineFault, compose, mapping, needed, parsed, sequence, text


def test_a_number_stays_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: 0.10\nb: '5'\nc: ~\nd: 'null'\n")
    found = mapping(compose(tmp_path / "a.yaml"), None, "it")
    assert {name: text(node, name) for name, node in found.items()} == {"a": "0.10", "b": "5", "d": "null"}


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("a: 1\n\nimput: 2\n", "line 3: unknown name 'imput' in it; did you mean 'input'"),
        ("input: 1\ninput: 2\n", "line 2: 'input' stands twice in it"),
        ("- a\n", "line 1: it must be a mapping"),
        ("{a: 1, [b]: 2}\n", "line 1: a name must be one text"),
    ],
)
def test_a_wrong_mapping_names_its_line(tmp_path: Path, written: str, words: str) -> None:
    (tmp_path / "a.yaml").write_text(written)
    with pytest.raises(LineFault, match=words):
        mapping(compose(tmp_path / "a.yaml"), ("a", "input"), "it")


def test_a_wrong_value_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: 1\nb: x\n")
    node = compose(tmp_path / "a.yaml")
    with pytest.raises(LineFault, match="line 2: b: invalid literal"):
        parsed(mapping(node, None, "it")["b"], int, "b")
    with pytest.raises(LineFault, match="line 1: 'c' is missing"):
        needed(mapping(node, None, "it"), "c", node)
    with pytest.raises(LineFault, match="line 1: it must be a list"):
        sequence(node, "it")


@pytest.mark.parametrize(
    ("written", "words"), [("", "empty"), ("a: [", "not valid YAML"), ("a: 1\n---\nb: 1", "YAML")]
)
def test_no_document_is_refused(tmp_path: Path, written: str, words: str) -> None:
    (tmp_path / "a.yaml").write_text(written)
    with pytest.raises(ValueError, match=words):
        compose(tmp_path / "a.yaml")
