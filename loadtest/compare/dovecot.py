"""Dovecot 2.3 as it is measured: a proxy (`proxy=y`) by an LDAP passdb with `auth_bind`; one login process that serves
all sessions ("high-performance mode")."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtest.compare.product import NotHere, Product, Running, account, greets, process, program
from loadtest.compare.surroundings import ADDRESS, Surroundings
from loadtest.people import PEOPLE, SERVICE_DN, SERVICE_PASSWORD

HELPERS = Path("/usr/lib/dovecot")

_NEEDED = {"imap-login": "dovecot-imapd", "modules/auth/libauthdb_ldap.so": "dovecot-ldap"}

# Dovecot wants one setting or brace per line. Without root nothing can be chrooted. The default of default_vsz_limit,
# 256 MiB, ends a login process that holds 8,000 sessions.
_CONF = """\
base_dir = {folder}/run
state_dir = {folder}/state
protocols = imap
listen = {address}
log_path = {folder}/log
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
first_valid_uid = 1
ssl = required
ssl_cert = <{chain}
ssl_key = <{key}
ssl_min_protocol = TLSv1.2
auth_mechanisms = plain login
auth_cache_size = 0
auth_failure_delay = 0
default_client_limit = 20000
default_vsz_limit = 0
passdb {{
  driver = ldap
  args = {folder}/ldap.conf.ext
}}
service imap-login {{
  chroot =
  service_count = 0
  process_min_avail = 1
  process_limit = 1
  client_limit = 9900
  inet_listener imap {{
    port = 0
  }}
  inet_listener imaps {{
    port = {port}
    ssl = yes
  }}
}}
service auth {{
  chroot =
  unix_listener auth-userdb {{
    mode = 0
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service aggregator {{
  chroot =
}}
service ipc {{
  chroot =
}}
service stats {{
  chroot =
}}
"""

_LDAP = """\
uris = ldap://{address}:{ldap}
dn = {dn}
dnpass = {password}
auth_bind = yes
base = {base}
scope = subtree
pass_filter = (uid=%u)
pass_attrs = mailHost=host, =proxy=y, =port={imap}
"""


@contextmanager
def _start(around: Surroundings, folder: Path, port: int) -> Iterator[Running]:
    dovecot = program("dovecot", "dovecot-core")
    for file, package in _NEEDED.items():
        if not (HELPERS / file).exists():
            raise NotHere(f"{file} is not installed (Debian package {package})")
    owner, conf = account(), folder / "dovecot.conf"
    files = {"chain": around.certificate.chain, "key": around.certificate.key, "folder": folder}
    who = {"user": owner.user, "group": owner.group}
    conf.write_text(_CONF.format(address=ADDRESS, port=port, **files, **who))
    ldap = {"ldap": around.ldap, "imap": around.imap, "dn": SERVICE_DN, "password": SERVICE_PASSWORD, "base": PEOPLE}
    (folder / "ldap.conf.ext").write_text(_LDAP.format(address=ADDRESS, **ldap))
    with process([dovecot, "-F", "-c", conf], folder / "log", greets(around, port)) as pid:
        yield Running(port, (pid,))


DOVECOT = Product(
    name="Dovecot",
    has="one login process for all sessions (high-performance mode), one auth process: LDAP passdb with proxy=y and "
    "auth_bind; session log on",
    start=_start,
    version=("dovecot", "--version"),
)
