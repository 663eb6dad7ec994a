# What stands in front of libraries' functions that go to another stack (library_switches.cc). Keeps
# all registers, and flags.
	.text
	.globl	mend_switch_entries
	.hidden	mend_switch_entries
	.type	mend_switch_entries, @function
	.p2align 4
mend_switch_entries:
	.cfi_startproc
	.set	number, 0
	.rept	32
	movb	$1, mend_switch_flags+number(%rip)
	jmpq	*mend_switch_targets+8*number(%rip)
	.p2align 4
	.set	number, number + 1
	.endr
	.cfi_endproc
	.size	mend_switch_entries, .-mend_switch_entries

	.section .note.GNU-stack,"",@progbits
