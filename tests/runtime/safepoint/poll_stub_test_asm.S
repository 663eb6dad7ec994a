// Loads every register from a known state, polls, and stores every register again.

// The layout of RegisterState in poll_stub_test.cc.
#define GPR 0
#define FLAGS 128
#define CONTROL 136
#define MXCSR 140
#define X87 144
#define VECTORS 320
#define MASKS 2368

#define ALL_VECTORS 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, \
    16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31

    .text

// void CallPollWithState(const RegisterState* before, RegisterState* after, int level)
// level: 0 SSE, 1 AVX, 2 AVX-512.
    .globl  CallPollWithState
    .type   CallPollWithState, @function
    .p2align 4
CallPollWithState:
    .cfi_startproc
    pushq   %rbp
    .cfi_adjust_cfa_offset 8
    pushq   %rbx
    .cfi_adjust_cfa_offset 8
    pushq   %r12
    .cfi_adjust_cfa_offset 8
    pushq   %r13
    .cfi_adjust_cfa_offset 8
    pushq   %r14
    .cfi_adjust_cfa_offset 8
    pushq   %r15
    .cfi_adjust_cfa_offset 8
    pushq   %rsi                      // after: 16(%rsp)
    .cfi_adjust_cfa_offset 8
    pushq   %rdx                      // level: 8(%rsp)
    .cfi_adjust_cfa_offset 8
    pushq   %rdi                      // before: 0(%rsp)
    .cfi_adjust_cfa_offset 8
    movq    %rdi, %rax

    fninit
    fldcw   CONTROL(%rax)
    fldt    X87(%rax)
    fldt    X87+16(%rax)
    ldmxcsr MXCSR(%rax)
    cmpl    $1, %edx
    jb      1f
    je      2f
    .irp n, ALL_VECTORS
    vmovdqu64 VECTORS+64*\n(%rax), %zmm\n
    .endr
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7
    kmovq   MASKS+8*\n(%rax), %k\n
    .endr
    jmp     3f
2:
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    vmovdqu VECTORS+64*\n(%rax), %ymm\n
    .endr
    jmp     3f
1:
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movdqu  VECTORS+64*\n(%rax), %xmm\n
    .endr
3:
    pushq   FLAGS(%rax)
    .cfi_adjust_cfa_offset 8
    popfq
    .cfi_adjust_cfa_offset -8
    .set    offset, 8
    .irp reg, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
    movq    GPR+offset(%rax), %\reg
    .set    offset, offset+8
    .endr
    movq    GPR(%rax), %rax

    call    __mend_poll_slow
    .globl  PollReturnsHere
PollReturnsHere:

    // The order matters: flags first, and nothing before they are pushed may change them.
    pushfq
    .cfi_adjust_cfa_offset 8
    pushq   %rax
    .cfi_adjust_cfa_offset 8
    movq    32(%rsp), %rax            // after
    .set    offset, 8
    .irp reg, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
    movq    %\reg, GPR+offset(%rax)
    .set    offset, offset+8
    .endr
    popq    GPR(%rax)
    .cfi_adjust_cfa_offset -8
    popq    FLAGS(%rax)
    .cfi_adjust_cfa_offset -8
    cld
    fnstcw  CONTROL(%rax)
    fstpt   X87+16(%rax)
    fstpt   X87(%rax)
    stmxcsr MXCSR(%rax)
    movl    8(%rsp), %edx
    cmpl    $1, %edx
    jb      1f
    je      2f
    .irp n, ALL_VECTORS
    vmovdqu64 %zmm\n, VECTORS+64*\n(%rax)
    .endr
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7
    kmovq   %k\n, MASKS+8*\n(%rax)
    .endr
    vzeroupper
    jmp     3f
2:
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    vmovdqu %ymm\n, VECTORS+64*\n(%rax)
    .endr
    vzeroupper
    jmp     3f
1:
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movdqu  %xmm\n, VECTORS+64*\n(%rax)
    .endr
3:
    fninit
    pushq   $0x1f80
    .cfi_adjust_cfa_offset 8
    ldmxcsr (%rsp)
    addq    $32, %rsp
    .cfi_adjust_cfa_offset -32
    popq    %r15
    .cfi_adjust_cfa_offset -8
    popq    %r14
    .cfi_adjust_cfa_offset -8
    popq    %r13
    .cfi_adjust_cfa_offset -8
    popq    %r12
    .cfi_adjust_cfa_offset -8
    popq    %rbx
    .cfi_adjust_cfa_offset -8
    popq    %rbp
    .cfi_adjust_cfa_offset -8
    ret
    .cfi_endproc
    .size   CallPollWithState, . - CallPollWithState

// int CallPollOnly(): polls once, with a frame whose registers a walk needs.
    .globl  CallPollOnly
    .type   CallPollOnly, @function
    .p2align 4
CallPollOnly:
    .cfi_startproc
    pushq   %rbx
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rbx, 0
    movl    $42, %ebx
    call    __mend_poll_slow
    movl    %ebx, %eax
    popq    %rbx
    .cfi_adjust_cfa_offset -8
    .cfi_restore %rbx
    ret
    .cfi_endproc
    .size   CallPollOnly, . - CallPollOnly

// void TrashRegisters(int level): changes everything that a callee may change.
    .globl  TrashRegisters
    .type   TrashRegisters, @function
    .p2align 4
TrashRegisters:
    .cfi_startproc
    movl    %edi, %edx
    movq    $-1, %rax
    .irp reg, rcx, rsi, rdi, r8, r9, r10, r11
    movq    %rax, %\reg
    .endr
    fninit
    fldz
    fldz
    fldz
    cmpl    $2, %edx
    jb      1f
    .irp n, ALL_VECTORS
    vpternlogd $0xff, %zmm\n, %zmm\n, %zmm\n
    .endr
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7
    kxnorq  %k\n, %k\n, %k\n
    .endr
    jmp     3f
1:
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    pcmpeqd %xmm\n, %xmm\n
    .endr
    cmpl    $1, %edx
    jb      3f
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    vcmptrueps %ymm\n, %ymm\n, %ymm\n
    .endr
3:
    fninit
    movq    $-1, %rdx
    ret
    .cfi_endproc
    .size   TrashRegisters, . - TrashRegisters

    .section .note.GNU-stack, "", @progbits
