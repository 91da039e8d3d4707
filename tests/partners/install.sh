#!/bin/sh
# Installs everything the journeys run against: Debian packages, npm and PyPI libraries.
# Idempotent; answers in well under a second when nothing is missing. Fails loudly, never skips.
# Everything but the Debian packages goes to target/partners/, nothing into the source tree.
set -eu
cd "$(dirname "$0")"
here=$(pwd -P)
target=${CARGO_TARGET_DIR:-$here/../../target}
partners=$target/partners
mkdir -p "$partners"
partners=$(cd "$partners" && pwd -P)

fail() { echo "install.sh: $*" >&2; exit 1; }

# Two runs at once (nextest beside a developer) must not install over each other.
if [ -z "${PHIWARD_INSTALL_LOCKED:-}" ] && command -v flock >/dev/null 2>&1; then
    PHIWARD_INSTALL_LOCKED=1 exec flock "$partners/.lock" sh "$here/install.sh" "$@"
fi

# --- Debian packages -------------------------------------------------------------------
# Each line: what must be there, and the packages that bring it.
missing=
need() { # need PATH-OR-COMMAND PACKAGE…
    what=$1; shift
    case $what in
        */*) ls $what >/dev/null 2>&1 || missing="$missing $*" ;;
        *) PATH=$PATH:/usr/sbin:/sbin command -v "$what" >/dev/null 2>&1 || missing="$missing $*" ;;
    esac
}
need chromium chromium fonts-dejavu-core
need '/usr/lib/postgresql/*/bin/initdb' postgresql
need nginx nginx-light
need wrk wrk
need xz xz-utils
need rsyslogd rsyslog
need '/usr/lib/*-linux-gnu/rsyslog/lmnsd_gtls.so' rsyslog-gnutls
need npm nodejs npm
need python3 python3
need '/usr/lib/*-linux-gnu/libssl.so.3' libssl3
need pdftotext poppler-utils
python3 -c 'import venv, ensurepip' 2>/dev/null || missing="$missing python3-venv"
if [ -n "$missing" ]; then
    command -v apt-get >/dev/null 2>&1 || fail "these are missing, and there is no apt-get to bring them:$missing"
    sudo=
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null 2>&1 || fail "run as root (or install sudo) once, for:$missing"
        sudo=sudo
    fi
    echo "install.sh: apt-get install$missing"
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get update -q
    # Unquoted: a list. No recommends: a printer set-up is no part of a browser test.
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing ||
        fail "apt-get could not install:$missing"
fi

# --- npm ----------------------------------------------------------------------------------
npm_stamp=$(cat package.json package-lock.json .npmrc | sha256sum | cut -d' ' -f1)
npm_dir=$partners/npm
if [ "$(cat "$npm_dir/.stamp" 2>/dev/null)" != "$npm_stamp" ]; then
    mkdir -p "$npm_dir"
    cp package.json package-lock.json .npmrc "$npm_dir/"
    echo "install.sh: npm ci"
    (cd "$npm_dir" && npm ci --loglevel=error) || fail "npm ci failed"
    "$npm_dir"/node_modules/node-linux-*/bin/node --version >/dev/null || fail "the Node 22 of npm does not run"
    printf '%s' "$npm_stamp" > "$npm_dir/.stamp"
fi
# The scripts stay in the source tree; seen through this link, they find their node_modules beside them.
ln -sfn "$here" "$npm_dir/scripts"

# --- PyPI -----------------------------------------------------------------------------------
pip_stamp=$( (cat requirements.txt; python3 --version) | sha256sum | cut -d' ' -f1)
venv=$partners/venv
if [ "$(cat "$venv/.stamp" 2>/dev/null)" != "$pip_stamp" ]; then
    echo "install.sh: pip install"
    rm -rf "$venv"
    python3 -m venv "$venv" || fail "python3 -m venv failed"
    "$venv/bin/pip" install -q --disable-pip-version-check --no-deps --only-binary :all: -r requirements.txt ||
        fail "pip install failed"
    printf '%s' "$pip_stamp" > "$venv/.stamp"
fi

# --- Helios FHIR Server -----------------------------------------------------------------------
# PHIWARD_HFS, hfs on the path, or the built copy beside the repository. Absent all three, the
# journeys through Helios say so; Medplum's router stands for a FHIR server we did not write.
packed=$here/../../../shared/upstream/hfs.xz
hfs=$partners/hfs
if [ -z "${PHIWARD_HFS:-}" ] && ! command -v hfs >/dev/null 2>&1 && [ -f "$packed" ]; then
    if [ ! -x "$hfs" ] || [ "$packed" -nt "$hfs" ]; then
        xz -dc "$packed" > "$hfs.part"
        chmod 755 "$hfs.part"
        mv "$hfs.part" "$hfs"
    fi
fi
