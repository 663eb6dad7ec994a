# Where contexts begin, go on and end (context_calls.cc).
	.text

# In: at the stack pointer the place where the context goes on; the registers that it is to have
# there, arguments included. To the walker it is a signal's frame: the place is not behind a call.
	.globl	mend_context_arrival
	.hidden	mend_context_arrival
	.type	mend_context_arrival, @function
	.p2align 4
mend_context_arrival:
	.cfi_startproc
	.cfi_signal_frame
	pushq	%rbp
	.cfi_def_cfa_offset 16
	.cfi_offset %rbp, -16
	movq	%rsp, %rbp
	.cfi_def_cfa_register %rbp
	pushq	%rdi
	pushq	%rsi
	pushq	%rdx
	pushq	%rcx
	pushq	%r8
	pushq	%r9
	andq	$-16, %rsp
	call	MendContextArrived
	leaq	-48(%rbp), %rsp
	popq	%r9
	popq	%r8
	popq	%rcx
	popq	%rdx
	popq	%rsi
	popq	%rdi
	popq	%rbp
	.cfi_def_cfa %rsp, 8
	# What getcontext and swapcontext return.
	xorl	%eax, %eax
	ret
	.cfi_endproc
	.size	mend_context_arrival, .-mend_context_arrival

# What a context's function returns to; rbx points to where the next context's address is. The
# outermost frame of every walk: there is nothing to return to.
	.globl	mend_context_end
	.hidden	mend_context_end
	.type	mend_context_end, @function
	.p2align 4
	.cfi_startproc
	.cfi_undefined %rip
	# Return addresses are looked up one byte before.
	nop
mend_context_end:
	movq	(%rbx), %rdi
	andq	$-16, %rsp
	call	MendContextEnded
	hlt
	.cfi_endproc
	.size	mend_context_end, .-mend_context_end

	.section .note.GNU-stack,"",@progbits
