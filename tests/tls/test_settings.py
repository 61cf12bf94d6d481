"""The settings speak to the operator."""

from dataclasses import MISSING, fields
from pathlib import Path

from tls import CertificateFiles


def test_both_files_are_required_and_explained() -> None:
    for setting in fields(CertificateFiles):
        assert setting.default is MISSING
        assert setting.metadata["doc"].endswith(".")


def test_settings_with_the_same_files_are_equal() -> None:
    assert CertificateFiles(chain=Path("a"), key=Path("b")) == CertificateFiles(chain=Path("a"), key=Path("b"))
