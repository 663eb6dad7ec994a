// BuildInputs: files of a diff that are no sources of the program, but that its build makes sources
// from or reads: grammars, lists of modules, configure scripts. A patch compiles sources and runs
// no build, so what would come of these files is not in it; that must not go unnoticed.
//
// SourceEdits collects them. One thread at a time.
#ifndef MEND_PATCHC_BUILD_INPUTS_H_
#define MEND_PATCHC_BUILD_INPUTS_H_

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "patchc/diff_file.h"

namespace mend::patchc {

class BuildInputs {
 public:
  // A file of a diff that is no source of the program. Those that are no build's business, such as
  // documentation, are harmless here.
  void Add(const FileDiff& diff);

  // The files that `text`, a source of the program, was generated from: its line directives name
  // them (bison, flex, re2c, ragel, lemon and gperf write those).
  std::set<std::string> GeneratorsOf(std::string_view text) const;

  // The files that the source at `path` is made of, going by their names: for `parse.c`,
  // `parse.tab.h` or `parse.pb.cc` a `parse.y` or `parse.proto`, since line directives may be
  // switched off or taken out (php's releases have none); for `mod_sftp.h` a `mod_sftp.h.in` that
  // the diff changes in another way than autoheader would, whose `#undef` lines say what the build
  // may define. A `parse.h` may have been written beside the grammar: its `text` tells.
  std::set<std::string> NamesakesOf(std::string_view path, std::string_view text) const;

  // The build file (configure, a Makefile, a list of modules) whose added lines have the word; ""
  // if there is none.
  std::string BuildFileNaming(const std::string& word) const;

  // The words of build files that look like macros, each with its file.
  std::map<std::string, std::string> Macros() const;

  // Nothing can be generated from any of the files.
  bool empty() const { return generators_.empty(); }

 private:
  std::vector<std::string> generators_;                       // as the diffs spell them
  std::vector<std::string> namesakes_;                        // those of them that give the name
  std::map<std::string, std::set<std::string>> build_words_;  // by file: words of added lines
};

// Whether the path is what a build reads to know how to build. Seldom wrong, never complete: a list
// of modules may have any name.
bool IsBuildFile(const std::string& file);

// The C identifiers in a text.
std::set<std::string> IdentifiersIn(std::string_view text);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_BUILD_INPUTS_H_
