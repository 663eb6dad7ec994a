// Runs one `clang -cc1 ... -emit-obj` command line in this process, with mend's passes and options,
// and makes the object describe itself.
//
// Called by the driver (`patchc cc`) and by ClangRunner (rebuilding a unit). Thread safety:
// CompileUnit may run in several threads at once, unless they share a PreambleCache that another
// one changes. Units with -mllvm run alone: those options are the process'.
#ifndef MEND_PATCHC_COMPILE_UNIT_COMPILER_H_
#define MEND_PATCHC_COMPILE_UNIT_COMPILER_H_

#include <llvm/ADT/ArrayRef.h>
#include <llvm/ADT/IntrusiveRefCntPtr.h>
#include <llvm/Option/ArgList.h>
#include <llvm/Support/VirtualFileSystem.h>
#include <llvm/Support/raw_ostream.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "patchc/codegen/code_facts.h"
#include "patchc/codegen/leave_out.h"
#include "patchc/compile/preamble_cache.h"
#include "patchc/compile/record_use.h"
#include "patchc/object/loop_flags.h"
#include "runtime/format/object_description.h"

namespace mend::patchc {

// How the unit came to be, for its description.
struct UnitIdentity {
  std::string language;
  std::string directory;
  std::string source;
  std::string output;
  std::vector<std::string> arguments;
  LoopFlags loops;  // in the arguments, too
};

// Which of the sources that are not the system's go into the object.
enum class EmbeddedSources {
  kNone,
  kMain,  // the link step adds the others, once for all units
  kAll,
};

struct UnitOptions {
  llvm::IntrusiveRefCntPtr<llvm::vfs::FileSystem> files;
  // Where Clang's messages go; nullptr is standard error, coloured as Clang would.
  llvm::raw_ostream* diagnostics = nullptr;
  EmbeddedSources embedded_sources = EmbeddedSources::kMain;
  // Write what the command line wants besides the object: dependencies, split debug information,
  // notes of coverage, remarks, a module's interface. A patch is compiled beside the build, and
  // must leave that as it is.
  bool side_outputs = true;
  // ObjectDescription's, to be used again; 0: now.
  uint64_t source_date_s = 0;
  // Find errors alone, which is less work. Warnings that the arguments make errors of are found.
  bool ignore_warnings = false;
  // Leave Clang's structures to the end of the process.
  bool leak = false;
  // Functions that may be left out if they are still the same (codegen/leave_out.h), by name.
  std::map<std::string, KnownFunction> known_functions;
  // Where the unit's preamble may be; nullptr: nowhere.
  PreambleCache* preambles = nullptr;
};

struct UnitResult {
  bool ok = false;
  std::string object;
  std::string output_file;  // where the command line wanted it
  ObjectDescription description;
  std::vector<SourceText> sources;  // all that are not the system's
  std::string main_source;          // the path of one of them
  // The sources of the modules (C++20) that the unit imports, which it has by their interfaces, as
  // those were when the modules were compiled.
  std::set<std::string> module_sources;
  CodeFacts facts;
  std::set<std::string> left_out;  // of the known functions with code; the description lacks them
  // The unit started from its preamble: the description lacks the sources and the records that are
  // in there.
  bool used_preamble = false;
};

// `arguments`: the command line behind `-cc1`.
UnitResult CompileUnit(llvm::ArrayRef<const char*> arguments, const UnitIdentity& identity,
                       const UnitOptions& options);

// Finds out what the unit does with each record that is a key of `uses`; emits nothing. False: it
// does not compile, and `uses` means nothing.
bool FindRecordUses(llvm::ArrayRef<const char*> arguments, const UnitOptions& options,
                    RecordUses* uses);

// Keeps the preamble of the unit in `options.preambles`, for later calls of CompileUnit.
void KeepPreamble(llvm::ArrayRef<const char*> arguments, const UnitIdentity& identity,
                  const UnitOptions& options);

// Whether this is a Clang command line that CompileUnit is for.
bool EmitsObject(const llvm::opt::ArgStringList& arguments);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMPILE_UNIT_COMPILER_H_
