// __mend_poll_slow: called by generated code when a poll finds its byte set; see safepoint_poll.h.
//
// Frame, from the top: return address, flags, rbp (rbp points here), the other general registers,
// RegisterContext, alignment, extended state. CFA = rbp + 24 in between, so that the stack can be
// walked at every instruction.

#include "runtime/safepoint/extended_state.inc"

    .hidden MendPollSlowPath

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

    cmpl    $0, mend_poll_state_size(%rip)
    je      .Lnot_initialised
    SAVE_EXTENDED_STATE

    // The polling function may have x87 values on the stack, another rounding mode or unmasked
    // exceptions: nothing that the runtime's code expects.
    fninit
    pushq   $0x1f80
    ldmxcsr (%rsp)
    addq    $8, %rsp
    call    MendPollSlowPath

    RESTORE_EXTENDED_STATE

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
