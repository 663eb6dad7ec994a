# Where libc's threads for SIGEV_THREAD enter the wrapper around the program's functions
# (notification_calls.cc). In: the notification's value; the entry's number is the second argument.
	.text
	.globl	mend_notification_entries
	.hidden	mend_notification_entries
	.type	mend_notification_entries, @function
	.p2align 4
mend_notification_entries:
	.cfi_startproc
	.set	number, 0
	.rept	64
	movl	$number, %esi
	jmp	MendRunNotification
	.p2align 4
	.set	number, number + 1
	.endr
	.cfi_endproc
	.size	mend_notification_entries, .-mend_notification_entries

	.section .note.GNU-stack,"",@progbits
