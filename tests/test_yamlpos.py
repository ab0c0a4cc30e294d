"""YAML becomes plain values that know where they stood, or an error that does."""

import pytest

from reportgen.errors import SpecError
from reportgen.yamlpos import load, loads


def places(table):
    return {way: (place.line, place.column) for way, place in table.items()}


def test_every_key_and_value_knows_its_place():
    document = loads(b"# words\na: 1\nb:\n  - {c: x}\n  - |\n    text\n", "f")
    assert document.value == {"a": 1, "b": [{"c": "x"}, "text\n"]}
    assert places(document.keys) == {("a",): (2, 1), ("b",): (3, 1), ("b", 0, "c"): (4, 6)}
    assert places(document.values)["b", 0, "c"] == (4, 9)
    assert places(document.values)["b", 1] == (5, 5)
    assert str(document.values["a",]) == "f:2:4"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("-2.5E+3", -2500.0),
        (".5", 0.5),
        ("010", 10),
        ("0x1F", 31),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("no", "no"),
        ("on", "on"),
        ("2026-11-20", "2026-11-20"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("'1'", "1"),
        ("ünï", "ünï"),
        ("!!str 1", "1"),
    ],
)
def test_scalars_follow_yaml_1_2(text, value):
    found = loads(f"a: {text}\n".encode(), "f").value["a"]
    assert found == value
    assert type(found) is type(value)


def test_keys_are_always_text():
    assert loads(b"1: a\ntrue: b\n2026-11-20: c\n", "f").value == {"1": "a", "true": "b", "2026-11-20": "c"}


def test_aliases_and_merges_work():
    document = loads(b"a: &x {k: 1, j: 2}\nb: {<<: *x, k: 3}\nc: *x\n", "f")
    assert document.value == {"a": {"k": 1, "j": 2}, "b": {"k": 3, "j": 2}, "c": {"k": 1, "j": 2}}
    assert places(document.values)["b", "k"] == (2, 16)
    assert places(document.values)["b", "j"] == (1, 17)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb:\n  c: x\n  c: y\n", "f:4:3: the key 'c' stands here twice; first on line 3"),
        ("a: .nan", "f:1:4: .nan is not a finite number"),
        ("a: 1e999", "f:1:4: 1e999 is not a finite number"),
        ("a: !!python/object:os.system x", "f:1:4: the tag tag:yaml.org,2002:python/object:os.system is not allowed"),
        ("a: !own [1]", "f:1:4: the tag !own is not allowed"),
        ("a: !!int x", "f:1:4: 'x' is not a number"),
        ("? [1]\n: 2", "f:1:3: a key should be text, not a list or a mapping"),
    ],
)
def test_what_is_wrong_beyond_syntax_is_noted(text, problem):
    assert [f"{place}: {what}" for place, what in loads(text.encode(), "f").problems] == [problem]


BOMB = b"a: &a [x,x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 10)) for i in range(8)
)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a: [1, 2\nb: 3", r"^f:2:\d: this is not YAML"),
        (b"a: 1\n\tb: 2", r"^f:2:1: this is not YAML"),
        (b"a: b: c", r"^f:1:5: this is not YAML: mapping values are not allowed"),
        (b"a: *gone", r"^f:1:4: this is not YAML: found undefined alias"),
        (b"a: 1\n---\nb: 2", r"this is not YAML.*(document|single)"),
        (b"a: &x [*x]", r"^f:1:4: an alias refers to the value it lies in"),
        (b"a: 1\nb: \xff", r"^f:2:4: this is not UTF-8"),
        (b"a: \x07", r"^f:1:4: the character '\\x07' is not allowed"),
        (b"a: " + b"[" * 100_000, r"^f:1:53: the values lie more than 50 levels deep"),
        (BOMB, r"^f:1:\d+: there are more than 100,000 values"),
    ],
)
def test_what_is_no_yaml_is_an_error_with_its_place(content, problem):
    with pytest.raises(SpecError, match=problem):
        loads(content, "f")


def test_an_empty_file_holds_nothing():
    assert loads(b"", "f").value is None
    assert loads(b"# words\n", "f").value is None


def test_a_file_that_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(SpecError, match=r"gone\.yaml cannot be read: No such file"):
        load(tmp_path / "gone.yaml")
    (tmp_path / "big.yaml").write_bytes(b"a: " + b"x" * 9_000_000)
    with pytest.raises(SpecError, match="has 9,000,003 bytes"):
        load(tmp_path / "big.yaml")
