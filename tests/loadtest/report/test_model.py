"""What a report's file keeps."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import pytest

from loadtest.figures import Figure
from loadtest.report.model import (
    Check,
    ErrorCount,
    Measure,
    NotAReport,
    Report,
    Series,
    Spread,
    is_ours,
    products,
    read,
    verdict,
    write,
)

from .example import MACHINE, report


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    written = report(seed=8)
    write(written, tmp_path / "report.json")
    assert read(tmp_path / "report.json") == written


def test_a_file_that_is_no_report_says_why(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    (tmp_path / "other.json").write_text('{"title": 1}')
    for name, reason in (("text", "malformed"), ("other.json", "title"), ("none", "No such file")):
        with pytest.raises(NotAReport, match=reason):
            read(tmp_path / name)


def test_a_report_of_another_version_is_not_read(tmp_path: Path) -> None:
    write(msgspec.structs.replace(report(), version=2), tmp_path / "later.json")
    with pytest.raises(NotAReport, match="version 2, this program reads version 1"):
        read(tmp_path / "later.json")


def test_a_series_has_a_value_for_each_time() -> None:
    with pytest.raises(ValueError, match="2 times but 1 values"):
        Series("logins", "logins", "", [0.0, 1.0], [1.0])


def test_what_is_no_number_is_left_out_and_what_is_no_text_is_replaced(tmp_path: Path) -> None:
    odd = Report(
        title="odd",
        command="",
        scenario={},
        began=0.0,
        seconds=1.0,
        machine=MACHINE,
        figures=[Figure("ratio", math.nan, "", "", ""), Figure("logins", 1.0, "", "", "")],
        series=[Series("p99", "latency", "s", [0.0, 1.0, 2.0], [math.inf, 0.5, math.nan])],
        errors=[ErrorCount("reply", 1, 0.0, b"\xff".decode(errors="surrogateescape"))],
    )
    write(odd, tmp_path / "odd.json")
    kept = read(tmp_path / "odd.json")
    assert [figure.name for figure in kept.figures] == ["logins"]
    assert kept.series == [Series("p99", "latency", "s", [1.0], [0.5])]
    assert kept.errors[0].example == "?"


def test_a_report_holds_when_all_its_checks_do() -> None:
    assert report().held
    assert not report(held=False).held


def test_our_own_product_is_known_by_its_name() -> None:
    assert is_ours("Vestibule, 2 workers")
    assert not is_ours("nginx")


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ([], (True, "Measured; nothing was to be checked")),
        ([True], (True, "The check held")),
        ([True, True], (True, "All 2 checks held")),
        ([True, False], (False, "1 of 2 checks did not hold")),
    ],
)
def test_the_verdict_counts_the_checks(held: list[bool], expected: tuple[bool, str]) -> None:
    assert verdict([Check("", each, "") for each in held]) == expected


def test_ours_comes_first_among_the_products() -> None:
    spread = Spread(1.0, 1.0, 1.0)
    measures = [Measure("login", "ms", values={"nginx": spread, "Vestibule": spread}), Measure("noop", "ms")]
    assert products(measures) == ["Vestibule", "nginx"]
