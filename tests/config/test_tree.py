"""YAML as people write it, wrongly too: lines, duplicates, tags, bombs."""

from __future__ import annotations

import pytest

from agent.config.tree import MAX_BYTES, dotted, parse
from agent.errors import ConfigError


def stopped(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, file="c.yaml")
    return str(caught.value)


def faults(text: str) -> list[str]:
    return [str(problem) for problem in parse(text, file="c.yaml")[1]]


def test_scalars_keep_their_text_and_can_be_typed_as_json():
    tree, problems = parse('a: 1.10\nb: [no, true, null, ~, 0x1f, -3, 1e3, "5", .5]\nc:\n', file="c.yaml")
    assert not problems
    assert tree.at(("a",)).text == "1.10"
    assert tree.json() == {"a": 1.1, "b": ["no", True, None, None, "0x1f", -3, 1000.0, "5", 0.5], "c": None}


def test_lines_are_those_of_the_keys():
    tree, _ = parse("a:\n  b:\n    - x\n    - y\n  c: 1\n", file="c.yaml")
    assert tree.line_of(("a", "b")) == 2
    assert tree.line_of(("a", "b", 1)) == 4
    assert tree.line_of(("a", "c")) == 5
    assert tree.line_of(("a", "nope", "deeper")) == 1
    assert tree.line_of(("a", "b", 7)) == 2
    assert tree.at(("a", "b", "x")) is None


def test_paths_are_written_with_dots_and_brackets():
    assert dotted(("jobs", "x", "run", 1)) == "jobs.x.run[1]"


def test_a_key_written_twice_is_told_with_both_lines():
    assert faults("a: 1\nb: 2\na: 3\n") == ["c.yaml:3: a: is written twice, first in line 1; keep one of them"]


def test_anchors_aliases_and_merges_work():
    tree, problems = parse("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\nz: {<<: [*x, {c: 4}]}\nw: *x\n", file="c.yaml")
    assert not problems
    assert tree.json()["y"] == {"a": 1, "b": 3}
    assert tree.json()["z"] == {"a": 1, "b": 2, "c": 4}
    assert tree.json()["w"] == {"a": 1, "b": 2}


def test_merging_something_else_is_a_fault():
    assert "takes a mapping" in faults("a: {<<: 3}")[0]


def test_an_unknown_alias_is_probably_a_text():
    assert "no anchor &x" in stopped("a: *x")
    assert 'quote it if it is no alias: "*x"' in stopped("a: *x")


def test_an_alias_to_itself_is_refused():
    assert "no anchor &a" in stopped("a: &a [*a]")


def test_an_alias_bomb_is_stopped_early():
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
    )
    assert "once aliases are expanded" in stopped(bomb)


def test_deep_nesting_is_stopped_written_out_or_through_aliases():
    assert "nested deeper than 50 levels" in stopped("a: " + "[" * 60 + "]" * 60)
    chain = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [[[[[[*a{i - 1}]]]]]]\n" for i in range(1, 12))
    assert "nested deeper than 50 levels" in stopped(chain)
    assert stopped("[" * 100_000)


def test_tags_are_refused_but_str():
    assert "the tag !!python/object:os.system is not used here" in faults("a: !!python/object:os.system x")[0]
    assert "the tag !Foo" in faults("a: !Foo {b: 1}")[0]
    assert faults("a: !!str 5") == []


def test_nul_and_half_characters_are_refused():
    assert "NUL" in faults('a: "x\\0y"')[0]
    assert "NUL" in faults('"a\\0": y')[0]
    assert "not YAML" in stopped('a: "\\ud800"')
    assert "not YAML" in stopped("a: \x00")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("a:\n\tb: 1", "indent with spaces, not tabs"),
        ("a: @daily", "needs quotes"),
        ("a: * * * * *", "needs quotes"),
        ("a: 50% off: x", "needs quotes"),
        ("a: [1, 2", "not YAML"),
        ("a: 'x\nb: 1", "not YAML"),
    ],
)
def test_broken_yaml_has_a_line_and_often_a_hint(text, hint):
    message = stopped(text)
    assert hint in message
    assert message.startswith("c.yaml:")
    assert "column" in message


def test_a_second_document_is_refused():
    assert "c.yaml:2: a second document begins here" in stopped("a: 1\n---\nb: 2\n")


def test_a_key_that_is_no_word_is_refused():
    assert "a key must be a single word" in stopped("? [a]\n: b")


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "~"])
def test_an_empty_file_says_so(text):
    assert "is empty" in stopped(text)


def test_a_huge_file_is_not_even_parsed():
    assert "larger than 1024 KiB" in stopped("a: " + "x" * MAX_BYTES)
