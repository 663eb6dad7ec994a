# Where a stand-in goes (stand_ins.cc). In: r11, its StandIn; arguments as for the function that it
# stands for, whatever that is.
	.text
	.globl	mend_stand_in
	.type	mend_stand_in, @function
	.p2align 4
mend_stand_in:
	.cfi_startproc
	pushq	%rax
	.cfi_adjust_cfa_offset 8
	# A thread of the program's (ThreadWords::record), that is not in a blocked region
	# (ThreadRecord::activity, Activity::kRunning) and does not work for mend now?
	movq	_ZN4mend16tls_thread_wordsE@GOTTPOFF(%rip), %rax
	movq	%fs:8(%rax), %rax
	testq	%rax, %rax
	je	.Lchoose
	cmpl	$2, (%rax)
	jne	.Lchoose
	movq	mend_own_allocations@GOTTPOFF(%rip), %rax
	cmpl	$0, %fs:(%rax)
	jne	.Lchoose
	# StandIn::program
	cmpq	$0, 16(%r11)
	je	.Lchoose
	popq	%rax
	.cfi_remember_state
	.cfi_adjust_cfa_offset -8
	jmpq	*16(%r11)
.Lchoose:
	.cfi_restore_state
	pushq	%rdi
	.cfi_adjust_cfa_offset 8
	pushq	%rsi
	.cfi_adjust_cfa_offset 8
	pushq	%rdx
	.cfi_adjust_cfa_offset 8
	pushq	%rcx
	.cfi_adjust_cfa_offset 8
	pushq	%r8
	.cfi_adjust_cfa_offset 8
	pushq	%r9
	.cfi_adjust_cfa_offset 8
	pushq	%r10
	.cfi_adjust_cfa_offset 8
	# With the return address nine words: 8 more bytes, and the eight registers of floating point.
	subq	$136, %rsp
	.cfi_adjust_cfa_offset 136
	movaps	%xmm0, (%rsp)
	movaps	%xmm1, 16(%rsp)
	movaps	%xmm2, 32(%rsp)
	movaps	%xmm3, 48(%rsp)
	movaps	%xmm4, 64(%rsp)
	movaps	%xmm5, 80(%rsp)
	movaps	%xmm6, 96(%rsp)
	movaps	%xmm7, 112(%rsp)
	movq	%r11, %rdi
	call	MendChooseDefinition
	movq	%rax, %r11
	movaps	(%rsp), %xmm0
	movaps	16(%rsp), %xmm1
	movaps	32(%rsp), %xmm2
	movaps	48(%rsp), %xmm3
	movaps	64(%rsp), %xmm4
	movaps	80(%rsp), %xmm5
	movaps	96(%rsp), %xmm6
	movaps	112(%rsp), %xmm7
	addq	$136, %rsp
	.cfi_adjust_cfa_offset -136
	popq	%r10
	.cfi_adjust_cfa_offset -8
	popq	%r9
	.cfi_adjust_cfa_offset -8
	popq	%r8
	.cfi_adjust_cfa_offset -8
	popq	%rcx
	.cfi_adjust_cfa_offset -8
	popq	%rdx
	.cfi_adjust_cfa_offset -8
	popq	%rsi
	.cfi_adjust_cfa_offset -8
	popq	%rdi
	.cfi_adjust_cfa_offset -8
	popq	%rax
	.cfi_adjust_cfa_offset -8
	jmpq	*%r11
	.cfi_endproc
	.size	mend_stand_in, .-mend_stand_in

	.section .note.GNU-stack,"",@progbits
