#include "patchc/sources/undeclared.h"

#include <set>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "patchc/sources/diff_file.h"

namespace mend::patchc {
namespace {

// Whether a function of that name has its definition there, as far as lines can tell: its name and
// parameters begin a line that is not indented, and are no declaration.
bool SeemsToDefine(std::string_view text, const std::string& function) {
  const std::string call = function + "(";
  for (const std::string_view line : SplitLines(text)) {
    if (!absl::ascii_isalpha(line[0]) && line[0] != '_') continue;
    const size_t at = line.find(call);
    if (at == line.npos || line.ends_with(";\n")) continue;
    const char before = at == 0 ? ' ' : line[at - 1];
    if (!absl::ascii_isalnum(before) && before != '_') return true;
  }
  return false;
}

}  // namespace

std::string NotesOnUndeclared(const std::string& diagnostics, const std::string& main_source,
                              const std::map<std::string, SourceEdit>& edited) {
  std::set<std::string> undeclared;
  for (const std::string_view before : {"undeclared function '", "undeclared identifier '"}) {
    for (size_t at = diagnostics.find(before); at != std::string::npos;
         at = diagnostics.find(before, at)) {
      at += before.size();
      undeclared.insert(diagnostics.substr(at, diagnostics.find('\'', at) - at));
    }
  }
  std::string notes;
  for (const std::string& function : undeclared) {
    for (const auto& [path, edit] : edited) {
      if (path == main_source || SeemsToDefine(edit.old_text, function) ||
          !SeemsToDefine(edit.new_text, function)) {
        continue;
      }
      absl::StrAppend(&notes, "'", function, "' is new in ", path,
                      ": if the build makes the header that declares it, run the build on the "
                      "changed tree, and give that header beside the diff: patchc apply --diff "
                      "FIX.patch proto.h --to TARGET\n");
    }
  }
  return notes;
}

}  // namespace mend::patchc
