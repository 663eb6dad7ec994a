#include "patchc/sources/include_names.h"

#include <algorithm>
#include <filesystem>

#include "patchc/sources/diff_file.h"
#include "patchc/support/text.h"

namespace mend::patchc {
namespace {

namespace fs = std::filesystem;

std::string Joined(const std::string& folder, const std::string& name) {
  return (fs::path(folder) / name).lexically_normal().string();
}

}  // namespace

std::set<std::string> NamesAskedFor(std::string_view text) {
  std::set<std::string> names;
  for (std::string_view line : SplitLines(text)) {
    const bool is_directive = Trim(line).starts_with("#");
    if (!is_directive) continue;
    const size_t word = std::min({line.find("include"), line.find("import"), line.find("embed")});
    if (word == line.npos) continue;
    // `#if __has_include("a.h") || __has_include("b.h")` has several.
    for (size_t open = line.find_first_of("\"<", word); open != line.npos;
         open = line.find_first_of("\"<", open)) {
      const size_t close = line.find(line[open] == '"' ? '"' : '>', open + 1);
      if (close == line.npos) break;
      names.emplace(line.substr(open + 1, close - open - 1));
      open = close + 1;
    }
  }
  return names;
}

std::vector<std::string> IncludeFolders(const ObjectDescription& unit) {
  std::vector<std::string> folders;
  for (size_t i = 0; i < unit.arguments.size(); ++i) {
    const std::string_view argument = unit.arguments[i];
    for (const std::string_view flag : {"-I", "-iquote", "-isystem", "-idirafter"}) {
      if (!argument.starts_with(flag)) continue;
      const std::string_view joined = argument.substr(flag.size());
      if (!joined.empty()) {
        folders.push_back(Joined(unit.directory, std::string(joined)));
      } else if (i + 1 < unit.arguments.size()) {
        folders.push_back(Joined(unit.directory, unit.arguments[i + 1]));
      }
    }
  }
  return folders;
}

bool MayMean(const std::string& name, const std::string& file, const std::string& folder,
             const std::vector<std::string>& include_folders) {
  if (fs::path(name).filename() != fs::path(file).filename()) return false;
  return Joined(folder, name) == file ||
         std::any_of(include_folders.begin(), include_folders.end(),
                     [&](const std::string& each) { return Joined(each, name) == file; });
}

}  // namespace mend::patchc
