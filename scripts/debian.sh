# shellcheck shell=bash
# What scripts/setup and scripts/install share: words, rights, Debian packages, a Python. Sourced, with `saying` set to
# the name that goes before each line.

say() { printf "%s: %s\n" "${saying:?}" "$*" >&2; }
fail() { say "$1"; exit "${2:-1}"; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else fail "needs root for: $*; run it as root, then again scripts/$saying"; fi
}

packages() { # installs the Debian packages of "$@" that are missing
  local missing=()
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  command -v apt-get >/dev/null || fail "missing and no apt-get here: ${missing[*]}; install them by hand"
  say "installing ${missing[*]}"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1 ||
    { as_root apt-get update -qq >&2 && as_root env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; } ||
    fail "Debian packages could not be installed: ${missing[*]}; is there a network?" 43
}

find_python() {
  local candidate
  for candidate in "${VEILCAM_PYTHON:-}" python3 python3.13 python3.12 python3.11; do
    if [ -z "$candidate" ] || ! command -v "$candidate" >/dev/null; then continue; fi
    "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null &&
      { command -v "$candidate"; return; }
  done
  fail "needs Python 3.11, 3.12 or 3.13; install python3, or name one with VEILCAM_PYTHON"
}
