# Where the kernel enters the wrapper around the program's signal handlers (signal_handlers.cc). In: a
# handler's three arguments; the entry's number is the fourth.
	.text
	.globl	mend_handler_entries
	.hidden	mend_handler_entries
	.type	mend_handler_entries, @function
	.p2align 4
mend_handler_entries:
	.cfi_startproc
	.set	number, 0
	.rept	577
	movl	$number, %ecx
	jmp	MendRunHandler
	.p2align 4
	.set	number, number + 1
	.endr
	.cfi_endproc
	.size	mend_handler_entries, .-mend_handler_entries

	.section .note.GNU-stack,"",@progbits
