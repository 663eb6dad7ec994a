# The rules that an operator meets, with the real mend and patchc and a program that is held up in
# the code that a patch replaces: busy patches, reversal by writing, poke, force in both directions
# and the removal that it forbids. The whole log is compared, line by line.
poke=0.5
source "$(dirname -- "${BASH_SOURCE[0]}")/serve.sh" "$1"

expect_code 0 "$patchc" apply "$work/other.mendpatch" --to serve
logged <<'END'
enabling patch 'other'
'other': initializing patching transition
'other': starting patching transition
'other': completing patching transition
'other': patching complete
END
value "threads/$hosted_pid/patch_state" -1

# Rule LC14: a patch that is enabled or in transition cannot be removed.
refused EBUSY "$mend" remove serve other
value module/other/refcnt 1
ask stay "in 1"
expect_code 5 "$patchc" apply "$work/fix.mendpatch" --to serve --no-wait
refused EBUSY "$mend" remove serve fix
value module/fix/refcnt 1

# Rule LC3: nothing else begins in a transition, and nothing of the attempt is logged.
refused EBUSY "$patchc" apply "$work/third.mendpatch" --to serve
refused EBUSY "$mend" set serve livepatch/other/enabled 0
refused EBUSY "$mend" disable serve other
# Rule T14: the state of each thread can be read.
value "threads/$hosted_pid/patch_state" 0
value livepatch/fix/transition 1
value livepatch/other/transition 0
value livepatch/fix/enabled 1
value livepatch/fix/stack_order 2

# Rule T10: poked, and said so once; the call that the thread is asleep in is not interrupted.
logged <<'END'
enabling patch 'fix'
'fix': initializing patching transition
'fix': starting patching transition
signaling remaining tasks
END
# Rule T15: it lasts, for several of these intervals.
expect_code 5 "$mend" wait serve --timeout 2
logged </dev/null

# Rule LC10: the opposite value turns it round, what it has already is refused.
refused EINVAL "$mend" set serve livepatch/fix/enabled 1
expect_code 0 "$mend" set serve livepatch/fix/enabled 0
expect_code 0 "$mend" wait serve --timeout 20
logged <<'END'
'fix': reversing transition from patching to unpatching
'fix': starting unpatching transition
'fix': completing unpatching transition
'fix': unpatching complete
END
# Rule LC12: and when it is done it is no more to be turned round.
refused ENOENT "$mend" set serve livepatch/fix/enabled 1
ask go "out 1"
# Rule LC15: it can be removed, and loaded again.
expect_code 0 "$mend" remove serve fix
ask stay "in 1"
expect_code 5 "$patchc" apply "$work/fix.mendpatch" --to serve --no-wait
logged <<'END'
enabling patch 'fix'
'fix': initializing patching transition
'fix': starting patching transition
signaling remaining tasks
END

# Rule X1: forced, whatever is on its stack. Nobody is to be kept on a plain patch's account (X2).
refused EINVAL "$mend" set serve livepatch/other/force 1
expect_code 0 "$mend" set serve livepatch/fix/force 0
value livepatch/fix/transition 1
expect_code 0 "$mend" force serve fix
expect_match "what it says" "^mend: warning: 1 thread was switched by force" "$output"
expect_code 0 "$mend" wait serve --timeout 20
logged <<'END'
forcing remaining tasks to the patched state
'fix': completing patching transition
'fix': patching complete
END
ask go "out 2"
ask go "2 2"

# Rule X2: the other way, what goes is kept as long as a thread is in it.
ask stay "In 2"
expect_code 0 "$mend" set serve livepatch/fix/enabled 0
value livepatch/fix/enabled 0
value "threads/$hosted_pid/patch_state" 1
logged <<'END'
'fix': initializing unpatching transition
'fix': starting unpatching transition
signaling remaining tasks
END
expect_code 0 "$mend" force serve fix
expect_code 0 "$mend" wait serve --timeout 20
logged <<'END'
forcing remaining tasks to the patched state
'fix': completing unpatching transition
'fix': unpatching complete
END
refused EBUSY "$mend" remove serve fix
refused EBUSY "$mend" enable serve fix
value module/fix/refcnt 1
ask go "out 1"
ask go "1 2"
value module/fix/refcnt 0
expect_code 0 "$mend" remove serve fix

# Rule LC13: its folders go with a patch that is disabled, the module's when it is removed.
expect_code 0 "$mend" set serve livepatch/other/enabled 0
expect_code 0 "$mend" wait serve --timeout 20
logged <<'END'
'other': initializing unpatching transition
'other': starting unpatching transition
'other': completing unpatching transition
'other': unpatching complete
END
expect_code 0 "$mend" ls serve livepatch
expect "the folders of patches" "" "$output"
value module/other/refcnt 0
expect_code 0 "$mend" remove serve other
expect_code 0 "$mend" ls serve module
expect "the modules" "" "$output"
ask go "1 1"
finish
logged </dev/null
