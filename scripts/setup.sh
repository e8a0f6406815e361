# Sourced by quickstart and test: finds Python, makes .venv in the repository, installs once.
# shellcheck shell=bash

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
VENV="$ROOT/.venv"
LOG="$VENV/setup.log"
TORCH="torch==2.13.0"

SETUP_HELP="Options:
  --setup-only   make .venv and install, then stop
  --help         this text

Environment:
  PDEFM_PYTHON   the Python to use (3.11 or newer); else python3.11 ... python3.14, python3
  PDEFM_TORCH    what pip installs as PyTorch, options of pip included; default '$TORCH'.
                 Without an NVIDIA GPU the CPU build saves gigabytes: name it here the way
                 PyTorch's own installation page does for your system."

say() { printf '== %s\n' "$*" >&2; }

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 5
}

find_python() {
  local candidate candidates=(python3.11 python3.12 python3.13 python3.14 python3)
  if [ -n "${PDEFM_PYTHON:-}" ]; then candidates=("$PDEFM_PYTHON"); fi
  for candidate in "${candidates[@]}"; do
    if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \
      >/dev/null 2>&1; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  fail "no Python 3.11 or newer with the venv module among ${candidates[*]}. Install one" \
    "(on Debian and Ubuntu also the package python3-venv) or name it in PDEFM_PYTHON"
}

# Hash of all that decides what is installed, so that a changed requirement installs again.
setup_hash() {
  "$VENV/bin/python" - "$ROOT" "${PDEFM_TORCH:-$TORCH}" "$1" <<'PYTHON'
import hashlib, pathlib, sys
root = pathlib.Path(sys.argv[1])
parts = [(root / name).read_bytes() for name in ("pyproject.toml", "scripts/constraints.txt")]
parts += [text.encode() for text in (sys.version, *sys.argv[1:])]
print(hashlib.sha256(b"\0".join(parts)).hexdigest())
PYTHON
}

# A venv is bound to its folder and its Python; it is made anew only where one of them is gone.
make_venv() {
  if "$VENV/bin/pip" --version 2>/dev/null | grep -qF "from $VENV/"; then return; fi
  local python
  python="$(find_python)"
  say "making .venv with $("$python" --version)"
  "$python" -m venv --clear "$VENV" ||
    fail "could not make $VENV. Check the free space and the permissions there"
}

pip_install() {
  local quiet=(--quiet)
  if [ -t 2 ]; then quiet=(); fi # on a terminal the downloads show their progress
  "$VENV/bin/pip" install ${quiet[@]+"${quiet[@]}"} --disable-pip-version-check --no-input \
    --log "$LOG" --constraint "$CONSTRAINTS" "$@" >&2
}

explain_failure() {
  fail "installing $1 failed. Check the network, the free space (4 GB without CUDA, 12 with)" \
    "and that Python $("$VENV/bin/python" -c 'import platform; print(platform.python_version())')" \
    "has wheels of it; then start me again. Log: $LOG"
}

install_deepspeed() {
  if [ "$(uname -s)" != Linux ]; then return; fi
  say "installing DeepSpeed (optional)"
  pip_install --editable "$ROOT[${1:+$1,}deepspeed]" ||
    say "warning: DeepSpeed could not be built; everything but DeepSpeed runs works without it." \
      "Log: $LOG. To try again: remove $VENV/.setup-*"
}

# set_up EXTRA: EXTRA is empty, or dev for the tools of scripts/test.
set_up() {
  make_venv
  local stamp="$VENV/.setup-${1:-run}" hash
  hash="$(setup_hash "$1")"
  if [ "$(cat "$stamp" 2>/dev/null)" = "$hash" ]; then
    say "already installed in $VENV"
    return
  fi
  CONSTRAINTS="$VENV/constraints.txt"
  if [ -n "${PDEFM_TORCH:-}" ]; then
    grep -v '^torch==' "$ROOT/scripts/constraints.txt" >"$CONSTRAINTS"
  else
    cp "$ROOT/scripts/constraints.txt" "$CONSTRAINTS"
  fi
  say "installing PyTorch (a large download the first time)"
  # shellcheck disable=SC2086  # options of pip may come with it
  pip_install ${PDEFM_TORCH:-$TORCH} || explain_failure "${PDEFM_TORCH:-$TORCH}"
  say "installing pdefm"
  pip_install --editable "$ROOT${1:+[$1]}" || explain_failure "pdefm${1:+[$1]}"
  install_deepspeed "$1"
  printf '%s\n' "$hash" >"$stamp"
  setup_hash "" >"$VENV/.setup-run" # what the tests need holds what a run needs
}
