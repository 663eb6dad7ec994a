// The heap of a process that compiles, and then ends.
#ifndef MEND_PATCHC_HEAP_H_
#define MEND_PATCHC_HEAP_H_

namespace mend::patchc {

// Has malloc take its memory from one range of addresses, in huge pages where the kernel has them,
// and keep it. To be called before other threads exist. Where the range cannot be had (a limit,
// strict overcommit) the heap stays as it was.
void PrepareHeap();

}  // namespace mend::patchc

#endif  // MEND_PATCHC_HEAP_H_
