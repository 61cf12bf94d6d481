# What scripts/demo and scripts/test share: Debian packages, a Python, a virtual environment. Sourced, POSIX sh.
# shellcheck shell=sh

PROGRAM=$(basename "$0")

# Tests start Vestibule hundreds of times: its modules are compiled once, even where the environment forbids it.
unset PYTHONDONTWRITEBYTECODE

say() { printf '%s: %s\n' "$PROGRAM" "$*" >&2; }

# die TEXT: what is missing cannot be had; 2 is "bad usage or configuration" as everywhere in Vestibule.
die() {
    say "$*"
    exit 2
}

# can_install: whether Debian packages may be installed without asking anybody.
can_install() {
    command -v apt-get >/dev/null 2>&1 || return 1
    [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

# missing_packages PACKAGE...: those of them that are not installed, one a line.
missing_packages() {
    for package in "$@"; do
        status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || status=
        [ "$status" = installed ] || echo "$package"
    done
}

# install_packages PACKAGE...: install what is missing; false when that is not possible.
# Services that come with a package are not started: tests start their own.
install_packages() {
    # shellcheck disable=SC2046 # package names are words
    set -- $(missing_packages "$@")
    [ $# -gt 0 ] || return 0
    can_install || return 1
    say "installing Debian packages: $*"
    if [ -z "${PACKAGE_LISTS_READ:-}" ]; then
        as_root apt-get -q update >&2 || return 1
        PACKAGE_LISTS_READ=yes
    fi
    forbid_services
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends "$@" >&2
    result=$?
    allow_services
    return $result
}

POLICY=/usr/sbin/policy-rc.d

forbid_services() {
    [ ! -e $POLICY ] || return 0
    trap allow_services EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    POLICY_IS_OURS=yes
    printf '#!/bin/sh\nexit 101\n' | as_root tee $POLICY >/dev/null
    as_root chmod 755 $POLICY
}

allow_services() {
    [ -n "${POLICY_IS_OURS:-}" ] || return 0
    as_root rm -f $POLICY
    POLICY_IS_OURS=
    trap - EXIT INT TERM
}

# is_python COMMAND: whether it is a Python that Vestibule runs on.
is_python() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

# find_python: sets PYTHON, installing one if there is none.
find_python() {
    for PYTHON in python3 python3.11 python3.12 python3.13 python3.14 /usr/bin/python3; do
        if is_python "$PYTHON"; then return 0; fi
    done
    install_packages python3 python3-venv && is_python "${PYTHON:=python3}" && return 0
    die "Python 3.11 or newer is needed, and was not found; install it (Debian: apt-get install python3 python3-venv)"
}

# new_environment: make .venv anew, with pip in it.
new_environment() {
    if ! "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then
        version=$("$PYTHON" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
        install_packages "$version" || say "package $version could not be installed"
    fi
    if "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then
        "$PYTHON" -m venv --clear .venv
    elif "$PYTHON" -m virtualenv --version >/dev/null 2>&1; then
        "$PYTHON" -m virtualenv --clear -q .venv
    else
        die "$PYTHON cannot make a virtual environment; install it (Debian: apt-get install python3-venv)"
    fi
}

# environment_stamp: changes when the environment has to be made again.
environment_stamp() {
    pwd
    sha256sum pyproject.toml
    .venv/bin/python --version
}

# ensure_environment EXTRA: .venv with Vestibule in it, and the extra requirements ("" or test).
# A stamp file makes the next run quick; what has "test" serves "" as well.
ensure_environment() {
    find_python
    for extra in "$1" test; do
        if [ -f ".venv/stamp-$extra" ] && [ "$(environment_stamp)" = "$(cat ".venv/stamp-$extra")" ]; then return 0; fi
    done
    if ! { is_python .venv/bin/python && .venv/bin/python -m pip --version >/dev/null 2>&1; }; then
        say "making a virtual environment in .venv with $("$PYTHON" --version)"
        new_environment || die "the virtual environment could not be made"
    fi
    say "installing Python packages into .venv"
    .venv/bin/python -m pip install -q --disable-pip-version-check -e ".${1:+[$1]}" >&2 ||
        die "pip could not install Vestibule's requirements (see above)"
    environment_stamp >".venv/stamp-$1"
}
