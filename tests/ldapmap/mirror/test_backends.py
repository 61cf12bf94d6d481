"""Backends as the directory writes them."""

import json

import pytest

from ldapmap.mirror.backends import shard_json


def test_a_name_alone_is_a_backend() -> None:
    assert json.loads(shard_json("s1", ["mb1.example"])) == {
        "name": "s1",
        "backends": [
            {"name": "mb1.example", "host": "mb1.example", "priority": 1, "weight": 1, "site": "", "ports": {}}
        ],
    }


def test_everything_may_be_told() -> None:
    value = " mb1a  host=mb1a.example priority=2 weight=3 site=x imap=143 pop3s=995"
    assert json.loads(shard_json("s1", [value]))["backends"] == [
        {
            "name": "mb1a",
            "host": "mb1a.example",
            "priority": 2,
            "weight": 3,
            "site": "x",
            "ports": {"imap": 143, "pop3s": 995},
        }
    ]


def test_the_order_of_the_values_does_not_matter() -> None:
    assert shard_json("s1", ["b", "a"]) == shard_json("s1", ["a", "b"])


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ([], "1 to 100"),
        (["x"] * 101, "1 to 100"),
        (["a", "a host=b"], "same name"),
        ([""], "does not begin"),
        (["host=a"], "does not begin"),
        (["a " + "x" * 1000], "does not begin"),
        (["a imap"], "setting=value"),
        (["a imap="], "setting=value"),
        (["a smtp=25"], "no setting"),
        (["a imap=0"], "1 to 65535"),
        (["a imap=65536"], "1 to 65535"),
        (["a imap=１４３"], "1 to 65535"),
        (["a weight=-1"], "1 to 1000"),
        (["a weight=" + "9" * 5000], "does not begin"),
        (["a weight=999999999"], "1 to 1000"),
    ],
)
def test_what_cannot_be_understood_is_refused(values: list[str], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        shard_json("s1", values)


def test_a_shard_has_a_name() -> None:
    with pytest.raises(ValueError, match="name"):
        shard_json("", ["a"])
