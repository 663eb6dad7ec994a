# The differential test of live patches (differential.py): a few generated programs and the edits written by hand, some
# of them in modules.
#   differential_test.sh BUILD_DIR [MINUTES]       with MINUTES: all edits at all levels, also in modules, and other
#                                                  seeds each day
set -euo pipefail
if ! command -v python3 >/dev/null; then
  echo "skipped: no python3"
  exit 77
fi
test=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)/differential.py
unset MEND_OPTIONS
export PYTHONDONTWRITEBYTECODE=1
if [ $# -lt 2 ]; then
  python3 "$test" "$1" --control --cases --seeds 6
  exec python3 "$test" "$1" --in-modules --cases new --seeds 2
fi
python3 "$test" "$1" --in-modules --cases --all-levels --seeds 100
exec python3 "$test" "$1" --control --cases --all-levels --minutes "$2" --first "$(($(date +%s) / 86400 * 100000))"
