#!/bin/sh
# usage: check_rules.sh SOURCE_DIR
# Every rule of rules.txt has a test, or stands in docs/consistency_model.md under "Without a
# counterpart" with the reason, and not both. A test says so in its name, `TEST_F(RulesTest,
# R3_R10_What...)`; what has no such name (scripts, variants of the simulation) in a comment of its
# own, `# Rule R3: ...`. A number that rules.txt does not have is a slip of the pen.
set -eu
cd "$1"
list=tests/conformance/rules.txt
page=docs/consistency_model.md

known=$(sed -n 's/^\([A-Z]*[0-9][0-9]*b\{0,1\}\) .*/\1/p' "$list" | sort)
doubled=$(printf '%s\n' "$known" | uniq -d)

# "NUMBER PLACE" of each number that a test carries.
carried=$(
  find tests -name '*.cc' -exec \
    sed -nE 's/^TEST(_F|_P)?\((\w+), (((M|LC|I|CB|T|B|R|X|O|SR|V)[0-9]+b?_)+)\w+\).*/\3 \2/p' {} + |
    awk '{ n = split($1, numbers, "_"); for (i = 1; i < n; ++i) print numbers[i], $2 }'
  find tests \( -name '*.sh' -o -name '*.cmake' \) -exec \
    sed -nE 's/^# Rule ([A-Z]+[0-9]+b?): .*/\1 comment/p' {} +
)
tested=$(printf '%s\n' "$carried" | cut -d' ' -f1 | sort -u)
# Rows with a reason, of that table only.
excused=$(awk '/^#/ { inside = /^### Without a counterpart/ } inside' "$page" |
  sed -nE 's/^\| ([A-Z]+[0-9]+b?) \| [^|]*\w[^|]* \|$/\1/p' | sort)

wrong=0
# complain WORDS NUMBERS
complain() {
  for number in $2; do
    echo "rule $number: $1"
    wrong=1
  done
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf '%s\n' "$known" | sort -u > "$work/known"
printf '%s\n' "$tested" > "$work/tested"
printf '%s\n' "$excused" > "$work/excused"
sort -u "$work/tested" "$work/excused" > "$work/covered"

[ -n "$known" ] || { echo "$list has no numbers"; exit 1; }
complain "is twice in $list" "$doubled"
complain "has neither a test nor a reason in $page" "$(comm -23 "$work/known" "$work/covered")"
complain "is carried by a test or has a reason, but is not in $list" \
  "$(comm -13 "$work/known" "$work/covered")"
complain "has a test, and a reason in $page why there is none" \
  "$(comm -12 "$work/tested" "$work/excused")"
exit $wrong
