// mend_bind_lazily: the first call of a function that is bound when it is called (lazy_binding.h).
// In: r11, its binding; arguments as for the function, whatever that is, in any register that the
// calling convention has for them.
//
// Frame, from the top: return address, rbp (rbp points here), general registers, alignment, extended
// state. The calling convention leaves nothing in the flags.

#include "runtime/safepoint/extended_state.inc"

    .hidden MendBindLazily

    .text
    .globl  mend_bind_lazily
    .hidden mend_bind_lazily
    .type   mend_bind_lazily, @function
    .p2align 4
mend_bind_lazily:
    .cfi_startproc
    endbr64
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
    pushq   %rbx
    movq    %r11, %rdi

    SAVE_EXTENDED_STATE
    call    MendBindLazily
    movq    %rax, %r11
    RESTORE_EXTENDED_STATE

    leaq    -72(%rbp), %rsp
    popq    %rbx
    popq    %r10
    popq    %r9
    popq    %r8
    popq    %rdi
    popq    %rsi
    popq    %rdx
    popq    %rcx
    popq    %rax
    popq    %rbp
    .cfi_def_cfa %rsp, 8
    .cfi_restore %rbp
    jmpq    *%r11
    .cfi_endproc
    .size   mend_bind_lazily, . - mend_bind_lazily

    .section .note.GNU-stack, "", @progbits
