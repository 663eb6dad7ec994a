// The registers that a stack walk starts from: those that a callee preserves, and the PC.
#ifndef MEND_RUNTIME_SAFEPOINT_REGISTER_CONTEXT_H_
#define MEND_RUNTIME_SAFEPOINT_REGISTER_CONTEXT_H_

#include <ucontext.h>

#include <cstddef>
#include <cstdint>

namespace mend {

// Field order is known to the assembly in safepoint_poll_stub.S.
struct RegisterContext {
  uintptr_t rip = 0;
  uintptr_t rsp = 0;
  uintptr_t rbp = 0;
  uintptr_t rbx = 0;
  uintptr_t r12 = 0;
  uintptr_t r13 = 0;
  uintptr_t r14 = 0;
  uintptr_t r15 = 0;
};

static_assert(offsetof(RegisterContext, rip) == 0 && offsetof(RegisterContext, r15) == 56,
              "safepoint_poll_stub.S stores the registers by these offsets");

// The registers of the code that a signal interrupted.
inline RegisterContext InterruptedContext(const ucontext_t& context) noexcept
    [[clang::nonblocking]] {
  const auto& r = context.uc_mcontext.gregs;
  return RegisterContext{.rip = static_cast<uintptr_t>(r[REG_RIP]),
                         .rsp = static_cast<uintptr_t>(r[REG_RSP]),
                         .rbp = static_cast<uintptr_t>(r[REG_RBP]),
                         .rbx = static_cast<uintptr_t>(r[REG_RBX]),
                         .r12 = static_cast<uintptr_t>(r[REG_R12]),
                         .r13 = static_cast<uintptr_t>(r[REG_R13]),
                         .r14 = static_cast<uintptr_t>(r[REG_R14]),
                         .r15 = static_cast<uintptr_t>(r[REG_R15])};
}

}  // namespace mend

#endif  // MEND_RUNTIME_SAFEPOINT_REGISTER_CONTEXT_H_
