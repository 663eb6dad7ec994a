# Fails when a program of the tests has left a sanitizer's report in the folder $1. The runtime's
# warnings (makecontext; the leak checker could not stop a thread, in a forked child) are none.
code=0
for report in "$1"/*; do
  [ -f "$report" ] || continue
  grep -qvE -e '^==[0-9]+==(WARNING: |Running thread [0-9]+ was not suspended)' \
    -e '^(False positive error reports may follow|For details see https://github.com/google/sanitizers/)' \
    "$report" || continue
  code=1
  echo "--- $report"
  head -n 60 "$report"
done
exit $code
