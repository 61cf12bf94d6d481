"""The pieces of a page. Whatever comes from a run goes through `text`; what is called markup is not escaped again."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from loadtest.report.amounts import printable
from loadtest.report.style import STYLE

_ARCH = (
    '<svg viewBox="0 0 20 22" fill="none" stroke="currentColor" stroke-width="1.8" aria-hidden="true">'
    '<path d="M1 21V10a9 9 0 0 1 18 0v11M5.6 21V10.5a4.4 4.4 0 0 1 8.8 0V21M0 21h20"/></svg>'
)
_META = (
    '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
    '<meta name="color-scheme" content="light dark"><meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
)


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of a plot's legend; `colour` is CSS, `stroke` one of solid, dashed, dotted."""

    name: str
    colour: str
    stroke: str = "solid"
    value: str = ""


def text(words: str, most: int = 500) -> str:
    """Words as markup, also within an attribute's quotes."""
    return html.escape(printable(words, most))


def document(title: str, head: str, body: str) -> str:
    """The whole file. Its policy forbids it to load or run anything at all."""
    return (
        f'<!doctype html><html lang="en"><head>{_META}<title>{text(title)}</title><style>{STYLE}</style></head><body>'
        f'<header><div><div class="brand">{_ARCH}Vestibule load test</div>{head}</div></header>'
        f"<main>{body}</main></body></html>\n"
    )


def section(title: str, *markup: str) -> str:
    """A heading and what follows it; nothing when nothing follows."""
    return f"<section><h2>{text(title)}</h2>{''.join(markup)}</section>" if any(markup) else ""


def card(markup: str) -> str:
    """Something on paper of its own."""
    return f'<div class="card">{markup}</div>'


def plot(title: str, note: str, svg: str, keys: Iterable[Key] = (), *, wide: bool = False) -> str:
    """A plot with its caption and legend."""
    legend = "".join(
        f'<span class="key"><i style="border-color:{key.colour};border-top-style:{key.stroke}"></i>{text(key.name, 60)}'
        f"{f' <b>{text(key.value)}</b>' if key.value else ''}</span>"
        for key in keys
    )
    kind = "card wide" if wide else "card"
    return (
        f'<figure class="{kind}"><figcaption><h3>{text(title)} <small>{text(note)}</small></h3>{legend}</figcaption>'
        f"{svg}</figure>"
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, words: Sequence[int] = ()) -> str:
    """Rows of markup, figures at the right; columns in `words` hold words. The heads are escaped, the cells are not."""
    kinds = ["" if column in words else ' class="n"' for column in range(len(heads))]
    top = "".join(f"<th{kind} scope=col>{text(name)}</th>" for name, kind in zip(heads, kinds, strict=True))
    lines = ("".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(row, kinds, strict=True)) for row in rows)
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{_rows(lines)}</tbody></table></div>'


def pairs(items: Iterable[tuple[str, str]]) -> str:
    """Names and values, both words."""
    return f"<dl>{''.join(f'<dt>{text(name)}</dt><dd>{text(value, 4000)}</dd>' for name, value in items)}</dl>"


def _rows(lines: Iterable[str]) -> str:
    return "".join(f"<tr>{line}</tr>" for line in lines)
