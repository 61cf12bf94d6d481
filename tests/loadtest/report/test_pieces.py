"""The pieces of a page."""

from __future__ import annotations

from loadtest.report.pieces import Key, card, document, pairs, plot, section, table, text

HOSTILE = "<script>alert('1')</script>\"&\x00"
SAFE = "&lt;script&gt;alert(&#x27;1&#x27;)&lt;/script&gt;&quot;&amp;\\u0000"


def test_words_cannot_become_markup() -> None:
    assert text(HOSTILE) == SAFE
    for piece in (
        section(HOSTILE, "x"),
        plot(HOSTILE, HOSTILE, "", [Key(HOSTILE, "red", value=HOSTILE)]),
        table([HOSTILE], [], words=(0,)),
        pairs([(HOSTILE, HOSTILE)]),
        document(HOSTILE, "", ""),
    ):
        assert "<script" not in piece
        assert SAFE in piece


def test_a_section_of_nothing_is_not_there() -> None:
    assert section("Errors", "", "") == ""
    assert section("Errors", card("none")) == '<section><h2>Errors</h2><div class="card">none</div></section>'


def test_columns_of_figures_stand_at_the_right() -> None:
    made = table(["kind", "count"], [("<b>a</b>", "1")], words=(0,))
    assert '<th scope=col>kind</th><th class="n" scope=col>count</th>' in made
    assert '<td><b>a</b></td><td class="n">1</td>' in made


def test_a_document_may_load_and_run_nothing() -> None:
    assert "default-src 'none'; style-src 'unsafe-inline'" in document("t", "", "")
