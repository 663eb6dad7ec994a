# Fails when a program of the tests has left a sanitizer's report in the folder $1. The runtime's
# warnings (makecontext) are none.
code=0
for report in "$1"/*; do
  [ -f "$report" ] || continue
  grep -qv '^==[0-9]*==WARNING: ' "$report" || continue
  code=1
  echo "--- $report"
  head -n 60 "$report"
done
exit $code
