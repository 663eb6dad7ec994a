// The program's own limit to addresses (RLIMIT_AS), which is to be about the program's: what the
// runtime has reserved when the program begins comes on top, where the kernel is told of a limit,
// and is not seen by who asks for it.
//
// Thread safety: RecordRuntimeAddresses before there are threads of the program.
#ifndef MEND_JIT_GUEST_LIBC_ADDRESS_LIMIT_H_
#define MEND_JIT_GUEST_LIBC_ADDRESS_LIMIT_H_

namespace mend::jit {

// Right before the program's first code. Without it limits are what the program says, as in a host
// that embeds the runtime.
void RecordRuntimeAddresses();

}  // namespace mend::jit

#endif  // MEND_JIT_GUEST_LIBC_ADDRESS_LIMIT_H_
