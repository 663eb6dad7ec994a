// Functions that go to another stack by assembler of their own, as far as patchc found them. Each
// has a flag, a byte in hosted data, which it sets before it goes there: compiled code in front of
// its inline assembly, other functions in a few bytes in front of their first instruction. So a
// stack on which nobody blocks or answers is noticed too (unregistered_stack.h), and a program that
// merely contains such code is not refused.
//
// Thread safety: all of it. Flags are stored to without order; see unregistered_stack.cc.
#ifndef MEND_RUNTIME_SAFEPOINT_STACK_SWITCHES_H_
#define MEND_RUNTIME_SAFEPOINT_STACK_SWITCHES_H_

#include <cstddef>
#include <cstdint>
#include <string>

namespace mend {

// The function's flag is at `flag` until that is forgotten.
void AddStackSwitch(const uint8_t* flag, std::string function);
// The memory of flags goes, or is used for something else. What was set stays so.
void ForgetStackSwitches(uintptr_t begin, size_t size);

// A function that has run; null: none has. The name stays.
const char* FindStackSwitch();

}  // namespace mend

#endif  // MEND_RUNTIME_SAFEPOINT_STACK_SWITCHES_H_
