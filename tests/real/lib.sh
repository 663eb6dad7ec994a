# What the scripts of ./dev real share; sourced with the build directory as $1. What they fetch and build
# stays in BUILD/real and is used again while the compiler is the same.
set -euo pipefail

build=$(cd -- "$1" && pwd)
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
real=$build/real
patchc=$build/bin/patchc
mend=$build/bin/mend
unset MEND_OPTIONS
export PYTHONDONTWRITEBYTECODE=1
mkdir -p "$real"

skip() { echo "skipped: $*"; exit 77; }
fail() { echo "FAILED: $*"; exit 1; }

# prepare PACKAGE N: the source, with the first N of Debian's patches, in $real/PACKAGE. True when it
# has to be built.
prepare() {
  local package=$1 count=$2
  if [ -f "$real/$package.built" ] && [ "$real/$package.built" -nt "$patchc" ]; then return 1; fi
  rm -f "$real/$package.built"
  "$here/../integration/fetch_source.sh" "$package" "$real/$package" "$count" || exit $?
}

# built PACKAGE: it need not be built again.
built() { touch "$real/$1.built"; }
