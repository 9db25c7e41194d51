#!/usr/bin/env bash
# Installs the Debian packages that one of our commands needs, where we are root; elsewhere says which.
#   deploy/system-packages.sh venv | demo | test
set -euo pipefail

need=()
want() { # want COMMAND PACKAGE
  command -v "$1" >/dev/null 2>&1 || need+=("$2")
}

case "${1:-}" in
  venv)
    python3 -c 'import ensurepip, venv' 2>/dev/null || need+=(python3-venv)
    ;;
  demo)
    # The camera's producer is compiled by ziglang from the package index where there is no g++. GenICam's library
    # is linked with Python's own, which Debian's interpreter does without.
    python=.venv/bin/python
    [ -x "$python" ] || python=python3
    read -ra lacking <<<"$("$python" -c '
import ctypes, sys
name = f"libpython{sys.version_info.major}.{sys.version_info.minor}"
try:
    ctypes.CDLL(f"{name}.so.1.0")
except OSError:
    print(name)
')"
    need+=("${lacking[@]}")
    ;;
  test)
    want g++ g++
    want chromium chromium
    want mbpoll mbpoll
    [ -e /usr/include/modbus/modbus.h ] || need+=(libmodbus-dev)
    want promtool prometheus
    want node nodejs
    want npm npm
    ;;
  *)
    echo "usage: $0 venv|demo|test" >&2
    exit 2
    ;;
esac

[ ${#need[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "Missing system packages: ${need[*]}; install them, e.g. sudo apt-get install ${need[*]}" >&2
  exit 2
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null
