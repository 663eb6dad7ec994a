// Precompiled headers. A unit that was compiled from one could be rebuilt only while that file is
// there and none of its sources has changed, which is just what a patch changes. So patchable units
// read the header's source in its place; other tools (and `-fsyntax-only`) still use the file.
#ifndef MEND_PATCHC_COMPILE_PRECOMPILED_HEADER_H_
#define MEND_PATCHC_COMPILE_PRECOMPILED_HEADER_H_

#include <clang/Frontend/CompilerInstance.h>

namespace mend::patchc {

// Lets `clang`, before it runs, include the sources of the precompiled headers it was given. A file
// that is none is left to Clang's own message.
void IncludeHeaderSources(clang::CompilerInstance& clang);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMPILE_PRECOMPILED_HEADER_H_
