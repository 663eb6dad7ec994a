#include "patchc/link/link_arguments.h"

#include <llvm/ADT/STLExtras.h>
#include <llvm/Support/MemoryBuffer.h>
#include <llvm/Support/Path.h>

#include "absl/status/status.h"
#include "patchc/link/link_inputs.h"

namespace mend::patchc {
namespace {

// The options of one letter whose value may follow at once, and names with one dash that begin like
// those all the same.
constexpr llvm::StringRef kJoined = "FILORTefhlmouyz";
constexpr llvm::StringRef kNotJoined[] = {
    "Tbss",      "Tdata",   "Ttext",     "eh-frame-hdr", "emit-relocs", "enable-",
    "end-",      "entry",   "error-",    "exclude-libs", "execute-",    "export-dynamic",
    "fatal-",    "filter",  "fini",      "fix-",         "format",      "fortran-common",
    "hash-",     "help",    "library",   "lto-",         "merge-",      "mllvm",
    "optimize-", "orphan-", "undefined", "unique",       "unresolved-"};

// Options of several letters whose value is the next argument, unless it follows a `=`.
constexpr llvm::StringRef kWithValue[] = {"Map",
                                          "Tbss",
                                          "Tdata",
                                          "Ttext",
                                          "Ttext-segment",
                                          "auxiliary",
                                          "defsym",
                                          "default-script",
                                          "dependency-file",
                                          "dT",
                                          "dynamic-linker",
                                          "dynamic-list",
                                          "entry",
                                          "exclude-libs",
                                          "export-dynamic-symbol",
                                          "export-dynamic-symbol-list",
                                          "filter",
                                          "fini",
                                          "format",
                                          "hash-style",
                                          "image-base",
                                          "init",
                                          "just-symbols",
                                          "library",
                                          "library-path",
                                          "mllvm",
                                          "orphan-handling",
                                          "output",
                                          "pack-dyn-relocs",
                                          "plugin",
                                          "retain-symbols-file",
                                          "rpath",
                                          "rpath-link",
                                          "script",
                                          "section-start",
                                          "soname",
                                          "sort-section",
                                          "symbol-ordering-file",
                                          "sysroot",
                                          "trace-symbol",
                                          "undefined",
                                          "undefined-glob",
                                          "unresolved-symbols",
                                          "version-script",
                                          "wrap"};

// Of the launcher's link, or of the guest module's shell.
constexpr llvm::StringRef kTakenOver[] = {"L",
                                          "R",
                                          "build-id",
                                          "disable-new-dtags",
                                          "dynamic-linker",
                                          "eh-frame-hdr",
                                          "enable-new-dtags",
                                          "h",
                                          "hash-style",
                                          "library-path",
                                          "m",
                                          "package-metadata",
                                          "pie",
                                          "rpath",
                                          "rpath-link",
                                          "soname",
                                          "sysroot",
                                          "z"};

// What would change which code a name means, or what it is that is linked.
struct Unhosted {
  llvm::StringRef name;
  const char* why_not;
};
constexpr char kNotAtLinkTime[] = "the host does not do this at link time";
constexpr Unhosted kUnhosted[] = {
    {"wrap", kNotAtLinkTime},
    {"defsym", kNotAtLinkTime},
    {"T", kNotAtLinkTime},
    {"script", kNotAtLinkTime},
    {"dT", kNotAtLinkTime},
    {"default-script", kNotAtLinkTime},
    {"just-symbols", kNotAtLinkTime},
    {"auxiliary", "the host knows no filters"},
    {"f", "the host knows no filters"},
    {"filter", "the host knows no filters"},
    {"F", "the host knows no filters"},
    {"init", "hosted code begins with its constructors: make the function one"},
    {"fini", "hosted code ends with its destructors: make the function one"},
};

// Where things lie is the host's.
constexpr llvm::StringRef kLayout[] = {"Tbss",          "Tdata",         "Ttext",
                                       "Ttext-segment", "section-start", "image-base"};

std::string WhyNotHosted(llvm::StringRef argument, const LinkerOption& option) {
  for (const Unhosted& unhosted : kUnhosted) {
    if (option.name != unhosted.name) continue;
    // What every program has.
    if (option.value == "_init" || option.value == "_fini") return {};
    const llvm::StringRef shown = argument.take_front(argument.find('='));
    return shown.str() + ": " + unhosted.why_not;
  }
  return {};
}

std::string WhyNotEntry(llvm::StringRef entry) {
  if (entry.empty() || entry == "_start") return {};
  return "-e " + entry.str() + ": a hosted program starts in main, through the C library";
}

// A linker script among the inputs may name other inputs, as those of libraries do; whether it does
// more.
bool IsScriptThatDefines(llvm::StringRef path) {
  auto file = llvm::MemoryBuffer::getFile(path, /*IsText=*/true, /*RequiresNullTerminator=*/false);
  if (!file) return false;
  const llvm::StringRef contents = (*file)->getBuffer();
  // Archives, and objects, which have a zero among their first bytes, are not read on.
  if (contents.starts_with("!<") || contents.contains('\0')) return false;
  std::string text = contents.str();
  for (size_t begin = 0; (begin = text.find("/*", begin)) != std::string::npos;) {
    const size_t end = text.find("*/", begin);
    text.erase(begin, end == std::string::npos ? end : end + 2 - begin);
  }
  const llvm::StringRef rest = text;
  return rest.contains('=') || rest.contains("SECTIONS");
}

}  // namespace

LinkerOption ParseLinkerOption(llvm::StringRef argument, const char* next) {
  LinkerOption option;
  llvm::StringRef body = argument;
  if (!body.consume_front("-") || body.empty()) return option;
  const bool has_two = body.consume_front("-");
  const bool is_letter =
      !has_two && kJoined.contains(body.front()) &&
      llvm::none_of(kNotJoined, [body](llvm::StringRef name) { return body.starts_with(name); });
  option.name = is_letter ? body.take_front(1) : body.take_front(body.find('='));
  if (option.name.size() < body.size()) {
    option.has_value = true;
    option.value = body.drop_front(option.name.size() + (is_letter ? 0 : 1));
  } else if (next != nullptr &&
             (is_letter ? option.name != "O" : llvm::is_contained(kWithValue, option.name))) {
    option.has_value = true;
    option.is_separate = true;
    option.value = next;
  }
  return option;
}

absl::StatusOr<LinkArguments> TakeApart(const llvm::opt::ArgStringList& arguments) {
  LinkArguments result;
  llvm::StringRef entry;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const llvm::StringRef argument = arguments[i];
    const LinkerOption option =
        ParseLinkerOption(argument, i + 1 < arguments.size() ? arguments[i + 1] : nullptr);
    const llvm::StringRef name = option.name;
    if (const std::string why_not = WhyNotHosted(argument, option); !why_not.empty()) {
      return absl::UnimplementedError(why_not);
    }
    if (name.empty() && IsScriptThatDefines(argument)) {
      return absl::UnimplementedError(argument.str() + ": a linker script: " + kNotAtLinkTime);
    }
    if (llvm::is_contained(kLayout, name)) {
      result.notes.push_back(argument.str() + " has no effect: the host places code and data");
    }
    if (name == "e" || name == "entry") entry = option.value;
    if (name == "o" || name == "output") result.output = option.value.str();
    result.is_shared |= name == "shared" || name == "Bshareable";
    result.is_relocatable |= name == "r" || name == "relocatable";
    const bool is_ours =
        name == "o" || name == "output" || name == "shared" || name == "Bshareable";
    const bool is_taken_over = llvm::is_contained(kTakenOver, name);
    for (size_t last = option.is_separate ? i + 1 : i; i <= last; ++i) {
      if (!is_ours) result.ordinary.emplace_back(arguments[i]);
      if (is_taken_over) result.launcher.emplace_back(arguments[i]);
    }
    --i;
    if (!name.empty() || !IsStartFile({argument.data(), argument.size()})) continue;
    const llvm::StringRef file = llvm::sys::path::filename(argument);
    const bool is_last = file.contains("crtend") || file == "crtn.o";
    (is_last ? result.last_start_files : result.first_start_files).push_back(argument.str());
  }
  // A module's is for those who run its file.
  if (!result.is_relocatable && !result.is_shared) {
    if (const std::string why_not = WhyNotEntry(entry); !why_not.empty()) {
      return absl::UnimplementedError(why_not);
    }
  }
  if (result.first_start_files.empty() && !result.is_relocatable && !result.is_shared) {
    return absl::UnimplementedError(
        "-nostdlib, -nostartfiles: a hosted program starts in main, through the C library");
  }
  return result;
}

}  // namespace mend::patchc
