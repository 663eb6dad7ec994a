// What a unit was compiled from: the files that Clang read, and those that the modules it imports
// were made from.
//
// Called while the unit is compiled, by its thread.
#ifndef MEND_PATCHC_COMPILE_UNIT_SOURCES_H_
#define MEND_PATCHC_COMPILE_UNIT_SOURCES_H_

#include <clang/Basic/FileEntry.h>
#include <clang/Frontend/CompilerInstance.h>
#include <clang/Lex/PPCallbacks.h>

#include <map>
#include <memory>
#include <set>
#include <string>

#include "patchc/compile/unit_compiler.h"

namespace clang {
class ASTReader;
}

namespace mend::patchc {

// The names that each file was included under. The source manager keeps one, and the others of a
// file that is reached over symbolic links, too, have to be there when the unit is compiled again.
using IncludeNames = std::map<const clang::FileEntry*, std::set<std::string>>;

// What fills `names`, which outlives it.
std::unique_ptr<clang::PPCallbacks> CollectIncludeNames(IncludeNames& names);

// Fills the result's sources, exactly as they were read, and its main source.
void CollectSources(clang::CompilerInstance& clang, const IncludeNames& names, UnitResult& result);

// Adds the sources of the modules (C++20) that the unit imports, or was made from, and a record of
// kind "module" for each, with a hash of its compiled interface.
void CollectModules(clang::CompilerInstance& clang, clang::ASTReader& reader, UnitResult& result);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMPILE_UNIT_SOURCES_H_
