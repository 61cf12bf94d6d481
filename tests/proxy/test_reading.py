"""How TOML tables become settings, and what an operator is told when they do not."""

from __future__ import annotations

import datetime
import enum
import ipaddress
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.reading import NETWORK, expected, is_list, is_required, join, keys, nested, read

BASE = Path("/etc/vestibule")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    name: str = field(metadata={"doc": "What people call it.", "min": 1, "max": 8})
    width: int = field(default=80, metadata={"doc": "How wide.", "unit": "cm", "min": 60, "max": 200})
    colour: Colour = field(default=Colour.RED, metadata={"doc": "Which paint."})


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    door: tuple[Door, ...] = field(metadata={"doc": "The ways in.", "at_least": 1})
    main: Door = field(default=Door(name="main"), metadata={"doc": "The one with the bell."})
    kind: Literal["villa", "hut"] = field(default="hut", metadata={"doc": "How grand."})
    height: float = field(default=3.0, metadata={"doc": "How high.", "unit": "s", "min": 0.5, "max": 3600.0})
    lit: bool = field(default=False, metadata={"doc": "Whether the lamp is on."})
    plan: Path | None = field(default=None, metadata={"doc": "A drawing."})
    motto: str | None = field(default=None, metadata={"doc": "Above the door."})
    deed: Path = field(default=Path("/deed"), metadata={"doc": "Who owns it."})
    neighbours: tuple[NETWORK, ...] = field(default=(), metadata={"doc": "Who may ring."})
    rooms: dict[str, int] = field(default_factory=dict, metadata={"doc": "How many.", "min": 1, "max": 9})
    alarm_password: str = field(default="", metadata={"doc": "For the alarm.", "max": 4})
    spare_secret: tuple[int, ...] = field(default=(), metadata={"doc": "Digits."})
    built: str = field(default="", metadata={"key": False})

    def faults(self) -> Iterator[tuple[str, str]]:
        if self.kind == "hut" and self.height > 10:
            yield "height", "a hut is not that high; build a villa"
        if self.kind == "villa" and not self.lit:
            yield "", "a villa is lit at night"


def said(**table: object) -> list[str]:
    """What is said about a house with one good door and these keys."""
    return [str(fault) for fault in read(House, {"door": [{"name": "back"}], **table}, BASE)[1]]


def house(**table: object) -> House:
    value, faults = read(House, {"door": [{"name": "back"}], **table}, BASE)
    assert not faults
    assert value is not None
    return value


def test_every_type_a_setting_may_have_is_read() -> None:
    read_house = house(
        door=[{"name": "back", "width": 60}, {"name": "cellar", "colour": "blue"}],
        main={"name": "front"},
        kind="villa",
        height=12,
        lit=True,
        plan="plans/ground.pdf",
        motto="salve",
        deed="/safe/deed",
        neighbours=["192.0.2.0/24", "2001:db8::/32"],
        rooms={"cellar": 2},
    )
    assert read_house == House(
        door=(Door(name="back", width=60), Door(name="cellar", colour=Colour.BLUE)),
        main=Door(name="front"),
        kind="villa",
        height=12.0,
        lit=True,
        plan=BASE / "plans/ground.pdf",
        motto="salve",
        deed=Path("/safe/deed"),
        neighbours=(ipaddress.ip_network("192.0.2.0/24"), ipaddress.ip_network("2001:db8::/32")),
        rooms={"cellar": 2},
    )
    assert isinstance(read_house.height, float)


def test_an_empty_text_means_none_where_none_is_allowed() -> None:
    assert house(plan="", motto="").plan is None


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("kind", "vila", 'kind: found "vila", expected one of "villa", "hut"; did you mean "villa"?'),
        ("kind", "castle on a hill", 'kind: found "castle on a hill", expected one of "villa", "hut"'),
        ("kind", 7, 'kind: found 7, expected one of "villa", "hut"'),
        ("height", "3", 'height: found "3", expected a number from 0.5 to 3,600 seconds'),
        ("height", True, "height: found true, expected a number from 0.5 to 3,600 seconds"),
        ("height", math.nan, "height: found nan, expected a number from 0.5 to 3,600 seconds"),
        ("height", math.inf, "height: found inf, expected a number from 0.5 to 3,600 seconds"),
        (
            "height",
            1 << 5000,
            "height: found a number of more than 64 bits, expected a number from 0.5 to 3,600 seconds",
        ),
        ("height", 0.25, "height: found 0.25, expected a number from 0.5 to 3,600 seconds"),
        ("lit", "yes", 'lit: found "yes", expected true or false; without quotes'),
        ("lit", 1, "lit: found 1, expected true or false"),
        ("deed", "", 'deed: found "", expected a file\'s path'),
        ("deed", "a\0b", 'deed: found "a\\u0000b", expected a file\'s path'),
        ("deed", 1, "deed: found 1, expected a file's path"),
        ("plan", False, 'plan: found false, expected a file\'s path, or "" for none'),
        ("motto", 3, 'motto: found 3, expected a text, or "" for none; put it into quotes'),
        ("motto", [], 'motto: found an empty list, expected a text, or "" for none'),
        (
            "motto",
            "two\nlines",
            'motto: found "two\\nlines", expected a text, or "" for none; take the control character out',
        ),
        ("motto", datetime.date(2026, 11, 21), 'motto: found a date or time, expected a text, or "" for none'),
        ("main", 3, "main: found 3, expected a table, [main]"),
        ("main", [{"name": "x"}], "main: found a list of 1, expected a table, [main]; write [main]"),
        ("door", {"name": "x"}, "door: found a table, expected a list of tables, [[door]]; write [[door]]"),
        ("door", [], "door: found an empty list, expected a list of tables, [[door]]; at least 1"),
        ("door", ["x"], 'door[0]: found "x", expected a table, [door]'),
        ("door", [{}], "door[0].name: missing; expected a text from 1 to 8 characters: What people call it."),
        ("rooms", 3, "rooms: found 3, expected a table of whole numbers from 1 to 9"),
        ("rooms", {"attic": 10}, "rooms: found a table, expected a table of whole numbers from 1 to 9"),
        ("rooms", {"attic": "1"}, "rooms: found a table, expected a table of whole numbers from 1 to 9"),
    ],
)
def test_a_fault_says_where_what_was_found_and_what_was_expected(key: str, value: object, message: str) -> None:
    assert said(**{key: value}) == [message]


def test_ranges_are_inclusive_and_count_characters_of_a_text() -> None:
    assert read(Door, {"name": "12345678", "width": 200}, BASE)[0] == Door(name="12345678", width=200)
    messages = [str(fault) for fault in read(Door, {"name": "123456789", "width": 201}, BASE)[1]]
    assert messages == [
        'name: found "123456789", expected a text from 1 to 8 characters',
        "width: found 201, expected a whole number from 60 to 200 cm",
    ]


def test_a_whole_number_is_no_fraction_and_no_truth_value() -> None:
    for width in (80.0, True, "80"):
        assert len(read(Door, {"name": "x", "width": width}, BASE)[1]) == 1


def test_a_network_with_an_address_in_it_is_answered_with_the_network_that_is_meant() -> None:
    wanted = 'expected a network such as "192.0.2.0/24" or "2001:db8::/32"'
    assert said(neighbours=["192.0.2.7/24", "nonsense", 5]) == [
        f'neighbours[0]: found "192.0.2.7/24", {wanted}; the network of that address is 192.0.2.0/24',
        f'neighbours[1]: found "nonsense", {wanted}',
        f"neighbours[2]: found 5, {wanted}",
    ]


def test_a_list_is_asked_for_where_a_single_value_was_given() -> None:
    (message,) = said(neighbours="192.0.2.0/24")
    assert message.startswith('neighbours: found "192.0.2.0/24", expected a list, each entry a network')
    assert message.endswith("; put it into [ ]")


def test_all_faults_are_collected_at_once() -> None:
    assert len(said(door=[{"nam": 1}, {"name": "", "width": 1}], kind="x", lit=3, plan=4)) == 7


def test_an_unknown_key_is_answered_with_the_one_that_was_meant() -> None:
    assert said(higth=4) == ["higth: unknown key; did you mean height?"]
    assert said(main={"name": "x", "zzz": 1}) == ["main.zzz: unknown key; the keys here are name, width, colour"]


def test_a_field_that_the_program_fills_is_no_key() -> None:
    assert said(built="1900")[0].startswith("built: unknown key")


def test_keys_that_are_not_bare_are_quoted_and_cut() -> None:
    assert said(**{"a\nb": 1})[0].startswith('"a\\nb": unknown key')
    assert len(said(**{"k" * 9999: 1})[0]) < 400
    assert join("door[0]", "a b") == 'door[0]."a b"'


def test_long_values_are_cut() -> None:
    assert len(said(kind="v" * 9999)[0]) < 200


def test_the_value_of_a_password_or_secret_is_never_repeated() -> None:
    text = " ".join(said(alarm_password="hunter2-hunter2", spare_secret=["hunter2"], alarm_pasword="hunter2"))
    assert "hunter2" not in text
    assert "alarm_password: found a value that is not shown, expected a text of 4 characters or less" in text
    assert "spare_secret[0]: found a value that is not shown" in text
    assert "alarm_pasword: unknown key; did you mean alarm_password?" in text


def test_rules_over_several_keys_are_asked_once_all_keys_are_good() -> None:
    assert said(height=20) == ["height: a hut is not that high; build a villa"]
    assert said(kind="villa") == ["a villa is lit at night"]
    assert said(height=20, lit="no") == ['lit: found "no", expected true or false; without quotes']


def test_a_setting_of_a_type_that_cannot_be_read_is_a_mistake_in_our_code() -> None:
    @dataclass
    class Wrong:
        moment: datetime.datetime = field(default=datetime.datetime.min)

    for table in ({"moment": 1},):
        with pytest.raises(TypeError):
            read(Wrong, table, BASE)


def test_the_shape_of_a_settings_class_can_be_asked_for() -> None:
    fields = {place.name: (place, annotation) for place, annotation in keys(House)}
    assert "built" not in fields
    assert is_required(fields["door"][0])
    assert not is_required(fields["rooms"][0])
    assert nested(fields["door"][1]) is Door
    assert nested(fields["kind"][1]) is None
    assert is_list(fields["neighbours"][1])
    assert not is_list(fields["main"][1])


@pytest.mark.parametrize(
    ("annotation", "metadata", "words"),
    [
        (int, {}, "a whole number"),
        (int, {"unit": "bytes"}, "a whole number of bytes"),
        (int, {"unit": "bytes", "min": 512}, "a whole number of 512 bytes or more"),
        (int, {"max": 1000000}, "a whole number of 1,000,000 or less"),
        (int, {"min": 0}, "a whole number of 0 or more"),
        (float, {"unit": "s", "min": 0.0, "max": 2.5}, "a number from 0 to 2.5 seconds"),
        (tuple[str, ...], {}, "a list, each entry a text"),
    ],
)
def test_what_a_key_takes_is_said_in_words(annotation: object, metadata: dict[str, Any], words: str) -> None:
    assert expected(annotation, metadata) == words


toml_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*(f.name for f, _ in keys(House)), "name", "width"]) | st.text(max_size=5), inner
        )
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(st.sampled_from([f.name for f, _ in keys(House)]) | st.text(max_size=5), toml_values, max_size=6)
)
def test_any_tree_ends_in_settings_or_in_faults(table: dict[str, object]) -> None:
    value, faults = read(House, table, BASE)
    assert (value is None) == bool(faults)
    assert all("\n" not in str(fault) for fault in faults)
