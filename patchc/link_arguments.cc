#include "patchc/link_arguments.h"

#include <llvm/ADT/STLExtras.h>
#include <llvm/Support/Path.h>

#include "absl/status/status.h"
#include "patchc/link_inputs.h"

namespace mend::patchc {
namespace {

bool IsShared(llvm::StringRef option) {
  return option == "-shared" || option == "--shared" || option == "-Bshareable";
}

// Of the launcher's link, or of the guest module's shell.
bool IsTakenOver(llvm::StringRef option) {
  static constexpr llvm::StringRef kExact[] = {"-soname",
                                               "--soname",
                                               "-h",
                                               "-m",
                                               "-z",
                                               "-dynamic-linker",
                                               "--dynamic-linker",
                                               "-rpath",
                                               "--rpath",
                                               "-R",
                                               "--sysroot",
                                               "-rpath-link",
                                               "--rpath-link",
                                               "-pie",
                                               "--pie",
                                               "--eh-frame-hdr",
                                               "--enable-new-dtags",
                                               "--disable-new-dtags",
                                               "-L"};
  static constexpr llvm::StringRef kPrefixes[] = {
      "--hash-style=",     "--build-id",    "-rpath=",      "--rpath=", "--sysroot=", "-L",
      "--dynamic-linker=", "--rpath-link=", "-rpath-link=", "-soname=", "--soname="};
  return llvm::is_contained(kExact, option) ||
         llvm::any_of(kPrefixes, [option](llvm::StringRef p) { return option.starts_with(p); });
}

// Why a link with this option cannot become a hosted program; empty if it can.
std::string WhyNotHosted(llvm::StringRef option) {
  static constexpr llvm::StringRef kChangesLink[] = {"--wrap", "--defsym", "-T", "--script"};
  for (const llvm::StringRef changes : kChangesLink) {
    if (option == changes || option.starts_with(changes.str() + "=")) {
      return changes.str() + ": the host does not do this at link time";
    }
  }
  return {};
}

// The same of an entry point.
std::string WhyNotEntry(llvm::StringRef entry) {
  if (entry.empty() || entry == "_start") return {};
  return "-e " + entry.str() + ": a hosted program starts in main, through the C library";
}

// The value that the option gives to the entry point; empty for other options. `next`: the argument
// behind it.
llvm::StringRef EntryOf(llvm::StringRef option, llvm::StringRef next) {
  if (option == "-e" || option == "--entry" || option == "-entry") return next;
  if (option.consume_front("--entry=") || option.consume_front("-entry=")) return option;
  return {};
}

}  // namespace

bool TakesValue(llvm::StringRef option) {
  static constexpr llvm::StringRef kOptions[] = {"-o",
                                                 "-m",
                                                 "-z",
                                                 "-dynamic-linker",
                                                 "--dynamic-linker",
                                                 "-rpath",
                                                 "--rpath",
                                                 "-R",
                                                 "-rpath-link",
                                                 "--rpath-link",
                                                 "-L",
                                                 "-l",
                                                 "-T",
                                                 "-e",
                                                 "-u",
                                                 "-h",
                                                 "-soname",
                                                 "--soname",
                                                 "--version-script",
                                                 "--dynamic-list",
                                                 "--defsym",
                                                 "--wrap",
                                                 "-Map",
                                                 "--Map",
                                                 "-y",
                                                 "--sysroot",
                                                 "-plugin",
                                                 "--exclude-libs",
                                                 "--export-dynamic-symbol",
                                                 "-f",
                                                 "-F",
                                                 "--script",
                                                 "--entry",
                                                 "--undefined"};
  return llvm::is_contained(kOptions, option);
}

absl::StatusOr<LinkArguments> TakeApart(const llvm::opt::ArgStringList& arguments) {
  LinkArguments result;
  llvm::StringRef entry;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const llvm::StringRef argument = arguments[i];
    const llvm::StringRef next = i + 1 < arguments.size() ? arguments[i + 1] : "";
    if (const llvm::StringRef given = EntryOf(argument, next); !given.empty()) entry = given;
    const std::string why_not = WhyNotHosted(argument);
    if (!why_not.empty()) return absl::UnimplementedError(why_not);
    if (IsShared(argument)) {
      result.is_shared = true;
      continue;
    }
    const bool has_value = TakesValue(argument) && i + 1 < arguments.size();
    if (argument == "-o" && has_value) {
      result.output = arguments[++i];
      continue;
    }
    result.is_relocatable |= argument == "-r" || argument == "--relocatable";
    result.ordinary.push_back(argument.str());
    const bool taken_over = IsTakenOver(argument);
    if (taken_over) result.launcher.push_back(argument.str());
    if (has_value) {
      result.ordinary.emplace_back(arguments[++i]);
      if (taken_over) result.launcher.emplace_back(arguments[i]);
      continue;
    }
    if (!IsStartFile(arguments[i])) continue;
    const llvm::StringRef name = llvm::sys::path::filename(argument);
    const bool is_last = name.contains("crtend") || name == "crtn.o";
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
