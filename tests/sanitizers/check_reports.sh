# Fails when a program of the tests has left a sanitizer's report in the folder $1.
code=0
for report in "$1"/*; do
  [ -f "$report" ] || continue
  code=1
  echo "--- $report"
  head -n 60 "$report"
done
exit $code
