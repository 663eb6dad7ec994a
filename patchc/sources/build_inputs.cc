#include "patchc/sources/build_inputs.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
#include "patchc/support/text.h"

namespace mend::patchc {
namespace {

namespace fs = std::filesystem;

bool IsIdentifierCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_';
}

template <size_t kCount>
bool IsOneOf(const std::array<std::string_view, kCount>& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

// Whether sources may be made of the file: what is written for people or run as a test is not worth
// reading the whole program for.
bool MayGenerate(const fs::path& path) {
  static constexpr std::array<std::string_view, 12> kOthers = {".md",  ".rst",  ".html", ".conf",
                                                               ".yml", ".yaml", ".tcl",  ".t",
                                                               ".po",  ".rpl",  ".sql",  ".out"};
  const std::string extension = path.extension().string();
  const bool is_manual_page =
      extension.size() == 2 && absl::ascii_isdigit(static_cast<unsigned char>(extension[1]));
  return !is_manual_page && !IsOneOf(kOthers, extension);
}

// Whether the file may be what a source of nearly its name is made of: no code, and no test.
bool MayBeData(const fs::path& path) {
  static constexpr std::array<std::string_view, 13> kCode = {
      ".c", ".cc", ".cpp", ".cxx", ".h", ".hh", ".hpp", ".S", ".txt", ".sh", ".py", ".pl", ".in"};
  static constexpr std::array<std::string_view, 5> kFolders = {"test", "tests", "expected", "doc",
                                                               "docs"};
  return MayGenerate(path) && path.has_extension() && !IsOneOf(kCode, path.extension().string()) &&
         !IsBuildFile(path.string()) &&
         std::none_of(path.begin(), path.end(),
                      [](const fs::path& folder) { return IsOneOf(kFolders, folder.string()); });
}

// The path's components without those that lead nowhere.
std::vector<std::string> Components(std::string_view path) {
  std::vector<std::string> components;
  for (const std::string_view word : SplitWords(path, "/")) {
    if (word != "." && word != "..") components.emplace_back(word);
  }
  return components;
}

// Whether the paths end alike, as far as either goes. A diff's leading component may be a/ or a
// package's folder, and a build may have been run anywhere.
bool MayBeTheSame(std::string_view diff_path, std::string_view directive_path) {
  const std::vector<std::string> left = Components(diff_path);
  const std::vector<std::string> right = Components(directive_path);
  const auto ends = std::mismatch(left.rbegin(), left.rend(), right.rbegin(), right.rend());
  const auto common = static_cast<size_t>(ends.first - left.rbegin());
  return common > 0 && (common == right.size() || common + 1 >= left.size());
}

// The file that a line directive names: `#line 7 "parse.y"`, `# 7 "parse.y"`. "" for other lines.
std::string_view DirectivePath(std::string_view line) {
  line = Trim(line);
  if (!line.starts_with("#")) return {};
  line = Trim(line.substr(1));
  if (line.starts_with("line")) line = Trim(line.substr(4));
  if (line.empty() || !absl::ascii_isdigit(static_cast<unsigned char>(line.front()))) return {};
  const size_t open = line.find('"');
  const size_t close = line.rfind('"');
  return open == close ? std::string_view() : line.substr(open + 1, close - open - 1);
}

// Files whose contents assembler in the source takes in: `asm(".incbin \"logo.txt\"")`. The
// compiler knows nothing of them.
std::vector<std::string_view> IncludedByAssembler(std::string_view text) {
  constexpr std::string_view kDirective = ".incbin";
  std::vector<std::string_view> named;
  for (size_t at = text.find(kDirective); at != std::string_view::npos;
       at = text.find(kDirective, at + 1)) {
    const size_t open = text.find('"', at);
    if (open == std::string_view::npos) break;
    const size_t end = text.find_first_of("\\\"", open + 1);
    named.push_back(text.substr(open + 1, end - open - 1));
  }
  return named;
}

// The first lines of a source, in small letters.
std::string Head(std::string_view text) {
  static constexpr size_t kLines = 40;
  size_t end = 0;
  for (size_t line = 0; line < kLines && end != std::string_view::npos; ++line) {
    end = text.find('\n', end);
    if (end != std::string_view::npos) ++end;
  }
  std::string head(text.substr(0, end));
  absl::AsciiStrToLower(&head);
  return head;
}

constexpr std::string_view kGenerated = "generated";

// Whether "generated" behind `before` is said of the source: not in "decodes the blocks generated".
bool IsSaidOfTheSource(std::string_view before) {
  static constexpr std::array<std::string_view, 14> kWords = {
      "is",   "was",  "been",   "are",    "were",  "be",     "automatically",
      "auto", "file", "header", "source", "table", "tables", "code"};
  const std::vector<std::string_view> words = SplitWords(before, " \t*/#;:,.-");
  return words.empty() || IsOneOf(kWords, words.back());
}

// What is called like a file in the lines of a head that say that the source is generated.
std::vector<std::string_view> NamedIn(std::string_view head) {
  std::vector<std::string_view> named;
  for (const std::string_view line : SplitLines(head)) {
    const size_t begin = line.find(kGenerated);
    if (begin == std::string_view::npos) continue;
    for (std::string_view word : SplitWords(line.substr(begin), " \t\r\n,;:()'\"`<>*")) {
      while (word.ends_with(".")) word.remove_suffix(1);
      if (word.find('.') == std::string_view::npos) continue;
      // A program writes other things than sources.
      if (IsUnitSource(std::string(word)) && !IsSaidOfTheSource(line.substr(0, begin))) continue;
      named.push_back(word);
    }
  }
  return named;
}

// `pg_proc_d.h` and `pg_proc.dat`, `frame.pb-c.c` and `frame.proto`, `commands.def` and
// `commands/get.json`.
bool IsCalledAfter(const fs::path& source, const fs::path& file) {
  const fs::path folder = file.parent_path();
  // A diff's leading component is no folder.
  if (folder.has_parent_path() &&
      MayBeTheSame(folder.string(), fs::path(source).replace_extension().string())) {
    return true;
  }
  const std::string stem = file.stem().string();
  const std::string name = source.filename().string();
  std::string_view rest = name;
  if (stem.empty() || !rest.starts_with(stem)) return false;
  rest.remove_prefix(stem.size());
  return !rest.empty() && !absl::ascii_isalnum(static_cast<unsigned char>(rest.front()));
}

// `builtin.inc` of `builtin.jq`, `init.lua.h` of `init.lua`: what is read for its contents alone
// has no head that tells.
bool IsIncludedFor(const std::string& source, const std::string& file) {
  static constexpr std::array<std::string_view, 4> kContents = {".inc", ".def", ".gen", ".tab"};
  const std::string path = fs::path(source).replace_extension().string();
  if (fs::path(path).filename() == fs::path(file).filename()) return true;
  return IsOneOf(kContents, fs::path(source).extension().string()) &&
         MayBeTheSame(fs::path(file).replace_extension().string(), path);
}

constexpr std::string_view kTemplate = ".in";

// What generators of sources read: bison, flex, re2c, ragel, lemon, gperf, peg, protoc and rpcgen.
bool IsGrammar(const fs::path& path) {
  static constexpr std::array<std::string_view, 15> kGrammars = {
      ".y",  ".yy", ".ypp",   ".l",     ".ll",  ".lex", ".lpp",  ".re",
      ".rl", ".g",  ".gperf", ".lemon", ".peg", ".x",   ".proto"};
  return IsOneOf(kGrammars, path.extension().string());
}

// Whether the grammar at `stem`, without its extension, may have given the source its name.
bool IsMadeOf(std::string_view stem, std::string_view path, std::string_view text) {
  const std::string_view name = path.substr(path.rfind('/') + 1);
  const std::string_view extension = name.substr(name.substr(0, name.find('.')).size());
  if (!MayBeTheSame(stem, path.substr(0, path.size() - extension.size()))) return false;
  const std::string_view beginning = text.substr(0, 400);
  return !extension.starts_with(".h") || beginning.find("enerated") != std::string_view::npos ||
         beginning.find("made by") != std::string_view::npos;
}

// What autoheader writes for a check of configure's: `#undef NAME`, below a comment of one line.
bool IsAutoheaders(std::string_view line) {
  line = Trim(line);
  return line.empty() || line.starts_with("#undef") ||
         (line.starts_with("/*") && line.ends_with("*/"));
}

bool ChangesMoreThanChecks(const FileDiff& diff) {
  for (const Hunk& hunk : diff.hunks) {
    for (const DiffLine& line : hunk.lines) {
      if (line.kind != ' ' && !IsAutoheaders(line.text)) return true;
    }
  }
  return false;
}

}  // namespace

bool IsUnitSource(const std::string& file) {
  static constexpr std::array<std::string_view, 6> kUnits = {".c",   ".cc",  ".cpp",
                                                             ".cxx", ".c++", ".C"};
  return IsOneOf(kUnits, fs::path(file).extension().string());
}

bool IsBuildFile(const std::string& file) {
  const fs::path path = file;
  static constexpr std::array<std::string_view, 12> kExtensions = {
      ".am", ".ac", ".m4", ".mk", ".mak", ".cmake", ".sh", ".py", ".pl", ".awk", ".def", ".list"};
  static constexpr std::array<std::string_view, 5> kNames = {"CMakeLists.txt", "meson.build",
                                                             "SConscript", "SConstruct", "wscript"};
  static constexpr std::array<std::string_view, 4> kSources = {".h", ".c", ".hpp", ".cc"};
  const std::string name = path.filename().string();
  if (path.extension() == ".in") {
    const fs::path made = path.parent_path() / path.stem();
    return IsOneOf(kSources, made.extension().string()) || IsBuildFile(made.string());
  }
  if (IsOneOf(kExtensions, path.extension().string()) || IsOneOf(kNames, name)) return true;
  for (const std::string_view beginning : {"Makefile", "makefile", "GNUmakefile", "configure"}) {
    if (name.starts_with(beginning)) return true;
  }
  // nginx and its like.
  return std::find(path.begin(), path.end(), fs::path("auto")) != path.end();
}

std::set<std::string> IdentifiersIn(std::string_view text) {
  std::set<std::string> identifiers;
  while (!text.empty()) {
    const auto begin = std::find_if(text.begin(), text.end(), IsIdentifierCharacter);
    const auto end = std::find_if_not(begin, text.end(), IsIdentifierCharacter);
    if (begin != end) identifiers.emplace(begin, end);
    text.remove_prefix(static_cast<size_t>(end - text.begin()));
  }
  return identifiers;
}

void BuildInputs::Add(const FileDiff& diff) {
  const bool is_template = diff.path().ends_with(kTemplate);
  const bool is_checks_only = is_template && !ChangesMoreThanChecks(diff);
  if (!is_checks_only) {
    if (MayGenerate(diff.path())) generators_.push_back(diff.path());
    if (MayBeData(diff.path())) data_.push_back(diff.path());
    if (is_template || IsGrammar(diff.path())) namesakes_.push_back(diff.path());
  }
  if (!IsBuildFile(diff.path())) return;
  std::set<std::string>& words = build_words_[diff.path()];
  for (const Hunk& hunk : diff.hunks) {
    for (const DiffLine& line : hunk.lines) {
      if (line.kind == '+') words.merge(IdentifiersIn(line.text));
    }
  }
}

std::set<std::string> BuildInputs::GeneratorsOf(std::string_view text,
                                                std::string_view path) const {
  std::set<std::string> generators = NamesakesOf(text, path);
  std::set<std::string_view> seen;
  for (const std::string_view line : SplitLines(text)) {
    const std::string_view named = DirectivePath(line);
    if (named.empty() || !seen.insert(named).second) continue;
    for (const std::string& file : generators_) {
      if (MayBeTheSame(file, named)) generators.insert(file);
    }
  }
  for (const std::string_view named : IncludedByAssembler(text)) {
    for (const std::string& file : generators_) {
      if (MayBeTheSame(file, named)) generators.insert(file);
    }
  }
  const std::string head = Head(text);
  for (const std::string_view named : NamedIn(head)) {
    for (const std::string& file : generators_) {
      if (MayBeTheSame(absl::AsciiStrToLower(file), named)) generators.insert(file);
    }
  }
  // Line directives name all that there is.
  if (!seen.empty() || head.find(kGenerated) == std::string::npos ||
      head.find("do not ") == std::string::npos) {
    return generators;
  }
  std::copy_if(data_.begin(), data_.end(), std::inserter(generators, generators.end()),
               [path](const std::string& file) { return IsCalledAfter(path, file); });
  return generators;
}

std::set<std::string> BuildInputs::NamesakesOf(std::string_view text, std::string_view path) const {
  std::set<std::string> found;
  for (const std::string& file : namesakes_) {
    const std::string_view made = std::string_view(file).substr(0, file.rfind('.'));
    const bool is_made =
        file.ends_with(kTemplate) ? MayBeTheSame(made, path) : IsMadeOf(made, path, text);
    if (is_made) found.insert(file);
  }
  for (const std::string& file : data_) {
    if (IsIncludedFor(std::string(path), file)) found.insert(file);
  }
  return found;
}

std::string BuildInputs::BuildFileNaming(const std::string& word) const {
  for (const auto& [path, words] : build_words_) {
    if (words.contains(word)) return path;
  }
  return {};
}

std::map<std::string, std::string> BuildInputs::Macros() const {
  std::map<std::string, std::string> macros;
  for (const auto& [path, words] : build_words_) {
    for (const std::string& word : words) {
      const bool is_macro = word.find('_') != std::string::npos &&
                            std::any_of(word.begin(), word.end(), absl::ascii_isupper) &&
                            std::none_of(word.begin(), word.end(), absl::ascii_islower);
      if (is_macro) macros.emplace(word, path);
    }
  }
  return macros;
}

}  // namespace mend::patchc
