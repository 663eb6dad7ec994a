// __mend_poll_slow: called by generated code when a poll finds its byte set; see safepoint_poll.h.
//
// Frame, from the top: return address, flags, rbp (rbp points here), the other general registers,
// RegisterContext, alignment, extended state. CFA = rbp + 24 in between, so that the stack can be
// walked at every instruction.

    .hidden MendPollSlowPath
    .hidden mend_poll_state_size
    .hidden mend_poll_state_components

    .text
    .globl  __mend_poll_slow
    .hidden __mend_poll_slow
    .type   __mend_poll_slow, @function
    .p2align 4
__mend_poll_slow:
    .cfi_startproc
    endbr64
    pushfq
    .cfi_adjust_cfa_offset 8
    pushq   %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rbp, 0
    movq    %rsp, %rbp
    .cfi_def_cfa_register %rbp
    pushq   %rax
    pushq   %rcx
    pushq   %rdx
    pushq   %rsi
    pushq   %rdi
    pushq   %r8
    pushq   %r9
    pushq   %r10
    pushq   %r11
    pushq   %rbx

    // RegisterContext, last field first. Preserved registers still have the caller's values.
    pushq   %r15
    pushq   %r14
    pushq   %r13
    pushq   %r12
    pushq   %rbx
    pushq   0(%rbp)
    leaq    24(%rbp), %rax
    pushq   %rax
    pushq   16(%rbp)
    movq    %rsp, %rdi
    cld

    movl    mend_poll_state_size(%rip), %eax
    testl   %eax, %eax
    jz      .Lnot_initialised
    subq    %rax, %rsp
    andq    $-64, %rsp
    // Kept across the call in a preserved register, for the way back.
    movq    mend_poll_state_components(%rip), %rbx
    testq   %rbx, %rbx
    jz      .Lsave_legacy
    // The header must be zero where XSAVE does not write it, or XRSTOR faults.
    xorl    %eax, %eax
    movq    %rax, 512(%rsp)
    movq    %rax, 520(%rsp)
    movq    %rax, 528(%rsp)
    movq    %rax, 536(%rsp)
    movq    %rax, 544(%rsp)
    movq    %rax, 552(%rsp)
    movq    %rax, 560(%rsp)
    movq    %rax, 568(%rsp)
    movl    %ebx, %eax
    movq    %rbx, %rdx
    shrq    $32, %rdx
    xsave64 (%rsp)
    jmp     .Lsaved
.Lsave_legacy:
    fxsave64 (%rsp)
.Lsaved:

    // The polling function may have x87 values on the stack, another rounding mode or unmasked
    // exceptions: nothing that the runtime's code expects.
    fninit
    pushq   $0x1f80
    ldmxcsr (%rsp)
    addq    $8, %rsp
    call    MendPollSlowPath

    testq   %rbx, %rbx
    jz      .Lrestore_legacy
    movl    %ebx, %eax
    movq    %rbx, %rdx
    shrq    $32, %rdx
    xrstor64 (%rsp)
    jmp     .Lrestored
.Lrestore_legacy:
    fxrstor64 (%rsp)
.Lrestored:

    leaq    -80(%rbp), %rsp
    popq    %rbx
    popq    %r11
    popq    %r10
    popq    %r9
    popq    %r8
    popq    %rdi
    popq    %rsi
    popq    %rdx
    popq    %rcx
    popq    %rax
    popq    %rbp
    .cfi_def_cfa %rsp, 16
    .cfi_restore %rbp
    popfq
    .cfi_adjust_cfa_offset -8
    ret

.Lnot_initialised:
    .cfi_def_cfa %rbp, 24
    .cfi_offset %rbp, -24
    ud2
    .cfi_endproc
    .size   __mend_poll_slow, . - __mend_poll_slow

    .section .note.GNU-stack, "", @progbits
