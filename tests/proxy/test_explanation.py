"""Steps are told in columns, or to programs."""

from __future__ import annotations

from proxy.explanation import Explanation

TOLD = Explanation("al", True, (("typed name", "al"), ("dn", "uid=\x1b[2J")))


def test_text_is_in_columns_and_cannot_disturb_a_terminal() -> None:
    assert TOLD.as_text().splitlines() == ["typed name  al", 'dn          "uid=\\u001b[2J"']


def test_programs_get_the_same() -> None:
    assert TOLD.as_json() == {
        "typed": "al",
        "found": True,
        "steps": [{"step": "typed name", "result": "al"}, {"step": "dn", "result": "uid=\x1b[2J"}],
    }
