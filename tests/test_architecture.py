"""The house as designed: who may import whom, what the pure code must not know, a test file for every source."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("proxy", "director", "ldapmap", "tls", "loadtest")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

#: Package -> the packages of ours it may import. `proxy.protocols` is a package of its own here.
MAY_IMPORT = {
    "proxy": {"proxy", "proxy.protocols", "director", "ldapmap", "tls"},
    "proxy.protocols": {"proxy.protocols"},
    "director": {"director"},
    "ldapmap": {"ldapmap"},
    "tls": {"tls"},
    "loadtest": {"loadtest", "proxy.protocols", "director", "ldapmap", "tls"},
}

#: Module -> the only places that may import it.
CONFINED = {
    "ldap3": ("ldapmap/",),
    "cryptography": ("tls/",),
    "prometheus_client": ("proxy/metrics.py",),
    "lmdb": ("ldapmap/mirror/",),
    "uvloop": (
        "proxy/worker.py",
        "proxy/mirroring.py",
        "proxy/directing.py",
        "loadtest/compare/surroundings.py",
        "loadtest/directory.py",
        "loadtest/assign.py",
        "loadtest/director.py",
        "loadtest/director_backend.py",
        "loadtest/simulated/serving.py",
    ),
    "redis": ("director/stores/",),
    "pickle": ("proxy/control.py",),
}

#: What code that understands bytes knows nothing of.
IMPURE = {"asyncio", "socket", "ssl", "threading", "time", "select", "os", "selectors", "multiprocessing", "logging"}


def package_of(module: str) -> str:
    """The package of ours that a dotted name belongs to."""
    return "proxy.protocols" if module.startswith("proxy.protocols") else module.partition(".")[0]


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            module = node.module or ""
            yield module
            if module in ("proxy", "loadtest"):  # `from proxy import control` names a module
                yield from (f"{module}.{name.name}" for name in node.names)


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_imports_run_downwards(path: Path) -> None:
    ours = {name for name in imports(path) if name.partition(".")[0] in PACKAGES}
    own = package_of(module_of(path))
    assert {package_of(name) for name in ours} <= MAY_IMPORT[own]
    across = {name for name in ours if package_of(name) not in (own, "proxy.protocols")}
    entered = across if own == "proxy" else {name for name in across if name.startswith("director")}
    assert not {name for name in entered if "." in name}, "other packages are entered by their front door"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_what_is_confined_is_imported_in_its_place_only(path: Path) -> None:
    for name in imports(path):
        places = CONFINED.get(name.partition(".")[0])
        assert places is None or relative(path).startswith(places)


@pytest.mark.parametrize("path", sorted((ROOT / "proxy/protocols").rglob("*.py")), ids=relative)
def test_the_protocols_know_no_socket_no_loop_and_no_clock(path: Path) -> None:
    tops = {name.partition(".")[0] for name in imports(path)}
    assert not tops & IMPURE
    assert tops - {"proxy"} <= sys.stdlib_module_names


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_every_source_file_has_its_test_file(path: Path) -> None:
    if path.name == "__init__.py" or not path.read_text().strip():
        return
    expected = ROOT / "tests" / path.relative_to(ROOT).parent / f"test_{path.name.lstrip('_')}"
    assert expected.exists() or expected.with_name(f"test_{path.name}").exists(), f"there is no {relative(expected)}"


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_by_itself(package: str) -> None:
    """No circle of imports hides behind an order in which modules happen to be loaded."""
    subprocess.run([sys.executable, "-c", f"import {package}"], check=True, cwd=ROOT)


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_test_sleeps_for_a_while_and_hopes() -> None:
    pause = re.compile(r"\btime\.sleep\(|asyncio\.sleep\((?!0\))")
    allowed = {"tests/integration/wait.py", "tests/test_architecture.py"}
    found = [name for name in tracked() if name.startswith("tests/") and name.endswith(".py") and name not in allowed]
    assert [name for name in found if pause.search((ROOT / name).read_text())] == []
