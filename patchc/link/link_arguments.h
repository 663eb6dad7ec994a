// The linker's command line, as Clang's driver would give it, taken apart for the link of a hosted
// program.
//
// Thread safety: none needed.
#ifndef MEND_PATCHC_LINK_LINK_ARGUMENTS_H_
#define MEND_PATCHC_LINK_LINK_ARGUMENTS_H_

#include <llvm/ADT/StringRef.h>
#include <llvm/Option/ArgList.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace mend::patchc {

struct LinkArguments {
  bool is_shared = false;  // a guest module
  std::string output = "a.out";
  std::vector<std::string> ordinary;  // all but the output
  std::vector<std::string> launcher;  // what the launcher's link takes over
  std::vector<std::string> first_start_files;
  std::vector<std::string> last_start_files;
  bool is_relocatable = false;     // -r: one object out of several
  std::vector<std::string> notes;  // what has no effect in a hosted program
};

// One option of the linker's command line.
struct LinkerOption {
  llvm::StringRef name;  // without dashes; empty if it is none
  bool has_value = false;
  llvm::StringRef value;     // `-e main`, `-emain`, `--entry=main`
  bool is_separate = false;  // the value is the next argument
};

// `next`: the argument behind it.
LinkerOption ParseLinkerOption(llvm::StringRef argument, const char* next);

// UNIMPLEMENTED names what a hosted program cannot be linked with.
absl::StatusOr<LinkArguments> TakeApart(const llvm::opt::ArgStringList& arguments);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_LINK_LINK_ARGUMENTS_H_
