// ClangRunner: one translation unit through Clang, in this process, with mend's code generation
// passes, from driver-style arguments to an object in memory that describes itself.
//
// Thread safety: Compile may run in several threads at once, each with an LLVM context of its own;
// KeepPreamble excludes all else. In process because a process of its own costs
// 20 ms a unit, and because edited sources are handed over without touching the disk.
#ifndef MEND_PATCHC_COMPILE_CLANG_RUNNER_H_
#define MEND_PATCHC_COMPILE_CLANG_RUNNER_H_

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "patchc/codegen/code_facts.h"
#include "patchc/codegen/leave_out.h"
#include "patchc/compile/preamble_cache.h"
#include "patchc/compile/record_use.h"
#include "runtime/format/object_description.h"

namespace mend::patchc {

struct CompileRequest {
  // Working directory; relative paths start there. It may be gone, if the overlay has its files.
  std::string directory;
  std::string language;                // "c" or "c++": clang's or clang++'s driver mode
  std::vector<std::string> arguments;  // as the driver takes them, main source included, no -o
  std::string output;                  // object file name, recorded; nothing is written
  // ObjectDescription's, to be used again; 0: now.
  uint64_t source_date_s = 0;
  // Files that are not (or not so) on the disk: absolute path to contents.
  std::map<std::string, std::string> overlay;
  // Functions that may be left out if they are still the same, by symbol name.
  std::map<std::string, KnownFunction> known_functions;
  // The main source as the program was built from it, if no other file is edited: a preamble may
  // stand for those, and this is what it is made from.
  std::optional<SourceText> unedited;
  // Nobody will read warnings. Those that are errors in this unit stay.
  bool errors_only = false;
  // Not to be compiled: only read, for what it does with these records.
  std::set<std::string> records = {};
};

struct CompileResult {
  bool ok = false;
  std::string diagnostics;  // Clang's own text, warnings included (but for errors_only)
  std::string object;       // ELF relocatable, .mend.object and .mend.sources included
  ObjectDescription description;
  std::vector<SourceText> sources;       // non-system sources as compiled
  std::set<std::string> module_sources;  // UnitResult's
  CodeFacts facts;
  // Known functions that the object has no code for, and the description lacks.
  std::set<std::string> left_out;
  bool used_preamble = false;
  RecordUses record_uses;  // of the records that the request names
};

class ClangRunner {
 public:
  // `embed_sources`: put .mend.sources into the object, headers too.
  explicit ClangRunner(bool embed_sources = true) : embed_sources_(embed_sources) {}
  CompileResult Compile(const CompileRequest& request);

  // Reads the headers of the request's unit, so that later compilations that may start from its
  // preamble need not. Nothing without edited.unedited. Memory: some MB a unit.
  void KeepPreamble(const CompileRequest& edited);

 private:
  const bool embed_sources_;
  PreambleCache preambles_;
};

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMPILE_CLANG_RUNNER_H_
