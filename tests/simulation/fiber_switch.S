// void MendFiberSwitch(void** save_sp, void* load_sp): stores the callee-saved registers on the stack
// that it leaves, and takes those of the stack that it goes to.
  .text
  .globl MendFiberSwitch
  .type MendFiberSwitch, @function
MendFiberSwitch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size MendFiberSwitch, .-MendFiberSwitch
  .section .note.GNU-stack,"",@progbits
