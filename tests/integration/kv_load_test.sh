# The load generator itself, against natively compiled services: it accepts each version, recognises
# which one answered, and finds an answer that is half old and half new.
. "$(dirname "$0")/lib.sh"
command -v patch >/dev/null || { echo "skipped: needs patch"; exit 77; }

service=$samples/kv/service
# with_patch NAME: a copy of the service's sources with that patch, in $work/NAME.
with_patch() {
  cp -r "$service" "$work/$1"
  patch -s -d "$work/$1" -p1 <"$samples/kv/patches/$1.patch"
}
with_patch fix
with_patch format
cp -r "$work/format" "$work/mixed"
{ sed '/^std::string Checksum/,$d' "$work/format/codec.cc"
  sed -n '/^std::string Checksum/,$p' "$service/codec.cc"; } >"$work/mixed/codec.cc"

# load DIRECTORY CODE PATTERN: compiles and starts it, puts a second of load on it.
load() {
  clang++-22 -std=c++20 -O1 -pthread "$1"/*.cc -o "$work/kv"
  start "$work/kv"
  hear
  expect_code "$2" "$build/bin/kv_load" "${answer##*:}" --connections 4 --seconds 1
  expect_match "$(basename "$1")" "$3" "$output"
  kill -TERM "$hosted_pid"
  hear
  expect "last words" stopped "$answer"
  finish
}
load "$service" 0 'failed 0, mixed 0, answered by 1\.0: [1-9][0-9]* 1\.0\.1: 0 1\.1: 0$'
load "$work/fix" 0 'failed 0, mixed 0, answered by 1\.0: 0 1\.0\.1: [1-9][0-9]* 1\.1: 0$'
load "$work/format" 0 'failed 0, mixed 0, answered by 1\.0: 0 1\.0\.1: 0 1\.1: [1-9][0-9]*$'
load "$work/mixed" 1 'failed 0, mixed [1-9]'
