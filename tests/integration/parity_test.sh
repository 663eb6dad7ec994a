# A hosted program behaves as the same program compiled natively: output, errors, exit code, death by
# signal, arguments, environment, input. Each program in parity/ is compiled both ways, at -O0 and at
# -O2 and with the options that it names itself ("Also with"), and run with the same arguments and input.
# parity_test.sh BUILD [PROGRAM...]: all, or those.
. "$(dirname "$0")/lib.sh"
shift
export MEND_OPTIONS=--no-socket
ulimit -c 0

# outcome PROGRAM ARGS...: everything an onlooker can see of a run.
outcome() {
  local code=0
  # Through a pipe, whose end comes when the last of the program's processes has written: daemons go
  # on behind the program's own end.
  (cd "$work" && printf 'one\ntwo words\n' | timeout 30 "$@" 2>err.txt | timeout 60 cat >out.txt
    exit "${PIPESTATUS[1]}") 2>/dev/null || code=$?
  echo "exit $code"
  echo "-- stdout"; cat "$work/out.txt"
  # mend's own lines, the report of a crash, are not the program's.
  echo "-- stderr"; grep -v '^mend: ' "$work/err.txt" || true
}

# left_out NAME: why the program cannot behave as natively in a build with AddressSanitizer.
left_out() {
  [ -e "$build/lib/libmend-asan.so" ] || return 1
  case $1 in
    address_limit.c | data_limit.c | executed_limit.c) echo "left out: $1: AddressSanitizer itself does not run with a limit to memory" ;;
    contexts.c) echo "left out: $1: AddressSanitizer puts its own swapcontext in front of mend's" ;;
    library_corners.cc) echo "left out: $1: its own operator delete is for memory of AddressSanitizer's operator new" ;;
    *) return 1 ;;
  esac
}

failures=0
for source in "$source_root"/tests/integration/parity/*; do
  name=$(basename "$source")
  if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then continue; fi
  if left_out "$name"; then continue; fi
  case $source in
    *.c) native=(clang-22 -std=gnu11) hosted=("$patchc" cc -std=gnu11) ;;
    *) native=(clang++-22 -std=c++20) hosted=("$patchc" c++ -std=c++20) ;;
  esac
  also=$(sed -n 's,^// Also with: ,,p' "$source")
  for level in -O0 -O2 ${also:+"$also"}; do
    read -ra options <<<"$level"
    mkdir -p "$work/native" "$work/hosted"
    "${native[@]}" "${options[@]}" -pthread "$source" -o "$work/native/program" -lm
    if ! "${hosted[@]}" "${options[@]}" -pthread "$source" -o "$work/hosted/program" -lm 2>"$work/compile.log"; then
      echo "FAILED: $name $level does not compile:"; cat "$work/compile.log"
      failures=$((failures + 1))
      continue
    fi
    # In the same place under the same name, so that argv[0] and error texts agree.
    cp "$work/native/program" "$work/program"
    wanted=$(outcome ./program first "second argument" "")
    cp "$work/hosted/program" "$work/program"
    got=$(outcome ./program first "second argument" "")
    if [ "$wanted" = "$got" ]; then
      echo "ok $name $level"
    else
      echo "FAILED: $name $level differs:"
      diff <(echo "$wanted") <(echo "$got") || true
      failures=$((failures + 1))
    fi
  done
done
[ "$failures" -eq 0 ] || fail "$failures programs differ"
