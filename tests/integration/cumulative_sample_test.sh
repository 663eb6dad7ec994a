# samples/cumulative: each patch takes the one before with it; what it lacks goes back to the original.
. "$(dirname "$0")/lib.sh"

"$patchc" cc -O2 "$samples/cumulative/price.c" -o "$work/price"
start "$work/price"
await_target
apply() { expect_code 0 "$patchc" apply --diff "$samples/cumulative/patches/$1.patch" --to price "${@:2}"; }

ask 1000 "net 1000 tax 190 shipping 490 total 1680 (#1)"
apply tax
ask 1000 "net 1000 tax 70 shipping 490 total 1560 (#2)"
apply tax-and-shipping
ask 1001 "net 1001 tax 71 shipping 590 total 1662 (#3)"
apply only-shipping
ask 1000 "net 1000 tax 190 shipping 590 total 1780 (#4)"
expect_code 0 "$mend" ls price livepatch
expect "active patches" only-shipping "${output%/}"

# An older module as a downgrade, and back to the original.
apply tax
ask 1000 "net 1000 tax 70 shipping 490 total 1560 (#5)"
expect_code 0 "$mend" disable price tax
ask 1000 "net 1000 tax 190 shipping 490 total 1680 (#6)"

# On top of each other instead of in place of each other.
apply tax --no-replace
apply only-shipping --no-replace
ask 1000 "net 1000 tax 70 shipping 590 total 1660 (#7)"
expect_code 0 "$mend" disable price only-shipping
ask 1000 "net 1000 tax 70 shipping 490 total 1560 (#8)"
finish
