#include "patchc/link/link_inputs.h"

#include <llvm/ADT/STLExtras.h>
#include <llvm/ADT/StringRef.h>
#include <llvm/BinaryFormat/Magic.h>
#include <llvm/Object/Archive.h>
#include <llvm/Object/ELF.h>
#include <llvm/Object/ELFObjectFile.h>
#include <llvm/Support/FileSystem.h>
#include <llvm/Support/MemoryBuffer.h>
#include <llvm/Support/Path.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "patchc/object/object_writer.h"
#include "patchc/object/stack_switches.h"
#include "patchc/support/llvm_status.h"
#include "runtime/format/object_description.h"
#include "runtime/format/program_image.h"

namespace mend::patchc {
namespace {

using Elf = llvm::object::ELFFile<llvm::object::ELF64LE>;

absl::StatusOr<std::unique_ptr<llvm::MemoryBuffer>> ReadFile(const std::string& path) {
  auto file = llvm::MemoryBuffer::getFile(path, /*IsText=*/false,
                                          /*RequiresNullTerminator=*/false);
  if (!file) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", file.getError().message()));
  }
  return std::move(*file);
}

// The strings of the entries with `tag` in the dynamic section.
absl::StatusOr<std::vector<std::string>> DynamicStrings(llvm::StringRef file,
                                                        const std::string& name, int64_t tag) {
  llvm::Expected<Elf> elf = Elf::create(file);
  if (!elf) return FromLlvm(elf.takeError(), name);
  auto entries = elf->dynamicEntries();
  if (!entries) return FromLlvm(entries.takeError(), name);
  const uint8_t* strings = nullptr;
  for (const auto& entry : *entries) {
    if (entry.getTag() != llvm::ELF::DT_STRTAB) continue;
    auto mapped = elf->toMappedAddr(entry.getPtr());
    if (!mapped) return FromLlvm(mapped.takeError(), name);
    strings = *mapped;
  }
  std::vector<std::string> result;
  for (const auto& entry : *entries) {
    if (entry.getTag() != tag) continue;
    const size_t offset = static_cast<size_t>(strings - elf->base()) + entry.getVal();
    if (strings == nullptr || offset >= file.size()) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": the dynamic section is damaged"));
    }
    const llvm::StringRef tail = file.substr(offset);
    result.push_back(tail.substr(0, tail.find('\0')).str());
  }
  return result;
}

// Reads inputs line by line; an archive that occurs again is not opened again.
class InputReader {
 public:
  absl::Status AddLine(llvm::StringRef line) {
    if (IsStartFile({line.data(), line.size()})) return absl::OkStatus();
    if (line.ends_with(")") && line.contains('(')) {
      const auto [archive, rest] = line.drop_back().rsplit('(');
      if (llvm::sys::fs::exists(archive)) return AddMember(archive.str(), rest.str());
    }
    if (!llvm::sys::fs::is_regular_file(line)) {
      inputs_.other_output.push_back(line.str());
      return absl::OkStatus();
    }
    return AddFile(line.str());
  }

  LinkInputs Take() { return std::move(inputs_); }

 private:
  struct OpenArchive {
    std::unique_ptr<llvm::MemoryBuffer> file;
    std::unique_ptr<llvm::object::Archive> archive;
    // Members that were taken, by name: of several with one name the linker takes the first first.
    std::map<std::string, size_t> taken;
  };

  absl::Status AddFile(const std::string& path) {
    auto file = ReadFile(path);
    if (!file.ok()) return file.status();
    const llvm::StringRef bytes = (*file)->getBuffer();
    switch (llvm::identify_magic(bytes)) {
      case llvm::file_magic::elf_shared_object:
        return AddLibrary(path, bytes);
      case llvm::file_magic::elf_relocatable:
        return AddObject(path, bytes);
      default:
        return absl::UnimplementedError(
            absl::StrCat(path, ": neither an object nor a shared library; it cannot be hosted"));
    }
  }

  absl::Status AddObject(std::string name, llvm::StringRef bytes) {
    const absl::StatusOr<std::string_view> members =
        FindElfSection({bytes.data(), bytes.size()}, kMembersSection);
    if (members.ok()) {
      // The objects that `patchc cc -r` made one of.
      absl::StatusOr<std::vector<LinkedObject>> objects = ObjectsOfImage(name, *members);
      if (!objects.ok()) return objects.status();
      std::move(objects->begin(), objects->end(), std::back_inserter(inputs_.objects));
      return absl::OkStatus();
    }
    absl::Status status = CheckHostable({bytes.data(), bytes.size()}, name);
    if (!status.ok()) return status;
    std::string object = bytes.str();
    // What patchc compiled has been looked at.
    if (!FindElfSection(object, kObjectSection).ok()) {
      absl::StatusOr<std::string> noted =
          WithStackSwitches(std::move(object), [](std::string_view) { return false; });
      if (!noted.ok()) {
        return absl::InvalidArgumentError(absl::StrCat(name, ": ", noted.status().message()));
      }
      object = *std::move(noted);
    }
    inputs_.objects.push_back({std::move(name), std::move(object)});
    return absl::OkStatus();
  }

  absl::Status AddLibrary(const std::string& path, llvm::StringRef bytes) {
    auto names = DynamicStrings(bytes, path, llvm::ELF::DT_SONAME);
    if (!names.ok()) return names.status();
    SharedLibrary library;
    library.path = path;
    library.names_itself = !names->empty();
    library.soname = library.names_itself ? names->front() : path;
    inputs_.libraries.push_back(std::move(library));
    return absl::OkStatus();
  }

  absl::StatusOr<OpenArchive*> Open(const std::string& path) {
    OpenArchive& open = archives_[path];
    if (open.archive != nullptr) return &open;
    auto file = ReadFile(path);
    if (!file.ok()) return file.status();
    open.file = *std::move(file);
    auto archive = llvm::object::Archive::create(open.file->getMemBufferRef());
    if (!archive) return FromLlvm(archive.takeError(), path);
    open.archive = std::move(*archive);
    return &open;
  }

  absl::Status AddMember(const std::string& path, const std::string& member) {
    // What glibc links into every executable; the host has its own definitions.
    if (llvm::sys::path::filename(path) == "libc_nonshared.a") return absl::OkStatus();
    absl::StatusOr<OpenArchive*> open = Open(path);
    if (!open.ok()) return open.status();
    size_t skip = (*open)->taken[member]++;
    const std::string name = absl::StrCat(path, "(", member, ")");
    llvm::Error error = llvm::Error::success();
    for (const auto& child : (*open)->archive->children(error)) {
      auto child_name = child.getName();
      if (!child_name) return FromLlvm(child_name.takeError(), name);
      // The linker shows a thin archive's members with their folders, and only those.
      const llvm::StringRef shown =
          (*open)->archive->isThin() ? *child_name : llvm::sys::path::filename(*child_name);
      if (shown != member || skip-- != 0) continue;
      auto bytes = child.getMemoryBufferRef();
      llvm::consumeError(std::move(error));
      if (!bytes) return FromLlvm(bytes.takeError(), name);
      return AddObject(name, bytes->getBuffer());
    }
    if (error) return FromLlvm(std::move(error), name);
    return absl::InvalidArgumentError(absl::StrCat(name, ": the archive has no such member"));
  }

  LinkInputs inputs_;
  std::map<std::string, OpenArchive> archives_;
};

}  // namespace

absl::StatusOr<std::vector<LinkedObject>> ObjectsOfImage(const std::string& file,
                                                         std::string_view image) {
  const absl::StatusOr<std::vector<ProgramObject>> members = ParseProgramImage(image);
  if (!members.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(file, ": ", members.status().message()));
  }
  std::vector<LinkedObject> objects;
  for (const ProgramObject& member : *members) {
    objects.push_back({std::string(member.name), std::string(member.bytes)});
  }
  return objects;
}

bool IsStartFile(std::string_view path) {
  const llvm::StringRef name = llvm::sys::path::filename(llvm::StringRef(path.data(), path.size()));
  static constexpr std::string_view kNames[] = {"crt1.o",
                                                "Scrt1.o",
                                                "gcrt1.o",
                                                "rcrt1.o",
                                                "Mcrt1.o",
                                                "crti.o",
                                                "crtn.o",
                                                "crtbegin.o",
                                                "crtbeginS.o",
                                                "crtend.o",
                                                "crtendS.o",
                                                "crtbeginT.o",
                                                "clang_rt.crtbegin-x86_64.o",
                                                "clang_rt.crtend-x86_64.o"};
  return llvm::is_contained(kNames, std::string_view(name.data(), name.size()));
}

absl::StatusOr<LinkInputs> ReadLinkInputs(std::string_view trace) {
  InputReader reader;
  llvm::SmallVector<llvm::StringRef, 64> lines;
  llvm::StringRef(trace.data(), trace.size()).split(lines, '\n', -1, /*KeepEmpty=*/false);
  for (const llvm::StringRef line : lines) {
    absl::Status status = reader.AddLine(line);
    if (!status.ok()) return status;
  }
  return reader.Take();
}

std::set<std::string> MissingThreadLocals(const std::vector<LinkedObject>& objects) {
  std::set<std::string> wanted;
  std::set<std::string> defined;
  for (const LinkedObject& object : objects) {
    auto file = llvm::object::ELFObjectFile<llvm::object::ELF64LE>::create(
        llvm::MemoryBufferRef(object.bytes, object.name));
    if (!file) {
      llvm::consumeError(file.takeError());
      continue;
    }
    for (const llvm::object::ELFSymbolRef symbol : file->symbols()) {
      auto name = symbol.getName();
      if (!name) {
        llvm::consumeError(name.takeError());
        continue;
      }
      llvm::StringRef rest = *name;
      if (rest.consume_front(kTlsOffsetPrefix)) wanted.insert(rest.str());
      if (rest.consume_front(kTlsImagePrefix)) defined.insert(rest.str());
    }
  }
  std::set<std::string> missing;
  for (const std::string& name : wanted) {
    if (!defined.contains(name) && name != kPollName) missing.insert(name);
  }
  return missing;
}

absl::StatusOr<std::vector<std::string>> NeededLibraries(const std::string& path) {
  auto file = ReadFile(path);
  if (!file.ok()) return file.status();
  return DynamicStrings((*file)->getBuffer(), path, llvm::ELF::DT_NEEDED);
}

}  // namespace mend::patchc
