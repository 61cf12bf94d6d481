"""The layouts in deploy/directory, and a site around a [directory] part."""

from __future__ import annotations

import stat
from pathlib import Path

from ldapmap import DirectorySettings
from proxy.config import load
from tests.proxy.example import SMALLEST, write_site

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "directory"
FRAGMENTS = sorted(FOLDER.glob("*.toml"))

_BEFORE, _, _REST = SMALLEST.partition("[directory]")
_AFTER = _REST[_REST.index("[[shard]]") :]


def site_with(directory: str, folder: Path) -> Path:
    """A whole configuration in `folder` with this [directory] part, beside the files that it names."""
    secret = folder / "ldap.secret"
    secret.write_text("service secret\n")
    secret.chmod(stat.S_IRUSR | stat.S_IWUSR)
    return write_site(folder, f"{_BEFORE}{_AFTER}\n{directory}")


def directory_settings(directory: str, folder: Path) -> DirectorySettings:
    """The settings in a [directory] part. Raises ConfigurationError with everything that is wrong with it."""
    return load(site_with(directory, folder)).directory
