#include "patchc/linked_modules.h"

#include <llvm/ADT/STLExtras.h>
#include <llvm/Object/ELF.h>
#include <llvm/Support/MemoryBuffer.h>

#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "patchc/llvm_status.h"
#include "patchc/shell_library.h"
#include "runtime/format/object_description.h"
#include "runtime/format/program_image.h"

namespace mend::patchc {
namespace {

using Elf = llvm::object::ELFFile<llvm::object::ELF64LE>;

struct ModuleName {
  std::string soname;
  std::string path;
};

// A module file as it is on the disk; no module in it if it is another library.
class ModuleFile {
 public:
  static absl::StatusOr<ModuleFile> Open(const std::string& path) {
    auto file = llvm::MemoryBuffer::getFile(path, /*IsText=*/false,
                                            /*RequiresNullTerminator=*/false);
    if (!file) return absl::NotFoundError(absl::StrCat(path, ": ", file.getError().message()));
    return ModuleFile(path, std::move(*file));
  }

  bool IsModule() const { return FindElfSection(bytes(), kModuleSection).ok(); }

  absl::StatusOr<std::vector<LinkedObject>> Objects() const {
    const absl::StatusOr<std::string_view> image = FindElfSection(bytes(), kModuleSection);
    if (!image.ok()) return image.status();
    absl::StatusOr<std::vector<LinkedObject>> objects = ObjectsOfImage(path_, *image);
    if (!objects.ok()) return objects.status();
    for (LinkedObject& object : *objects) object.name = absl::StrCat(path_, "(", object.name, ")");
    return objects;
  }

  std::vector<std::string> Names(std::string_view section) const {
    const absl::StatusOr<std::string_view> contents = FindElfSection(bytes(), section);
    return contents.ok() ? NamesInSection(*contents) : std::vector<std::string>();
  }

  // The modules that it was linked with. One that moved is looked for beside it.
  absl::StatusOr<std::vector<ModuleName>> Linked() const {
    std::vector<ModuleName> linked;
    const std::vector<std::string> names = Names(kLinkedSection);
    for (size_t i = 0; i + 1 < names.size(); i += 2) {
      std::string path = names[i + 1];
      if (!std::filesystem::exists(path)) {
        path = std::filesystem::path(path_).parent_path() / names[i];
      }
      if (!std::filesystem::exists(path)) {
        return absl::NotFoundError(absl::StrCat(path_, ": was linked with ", names[i + 1],
                                                ", which is not there any more; name it too"));
      }
      linked.push_back({names[i], std::move(path)});
    }
    return linked;
  }

 private:
  ModuleFile(std::string path, std::unique_ptr<llvm::MemoryBuffer> file)
      : path_(std::move(path)), file_(std::move(file)) {}
  std::string_view bytes() const { return {file_->getBufferStart(), file_->getBufferSize()}; }

  std::string path_;
  std::unique_ptr<llvm::MemoryBuffer> file_;
};

// Calls `visit` with the name and the entry of each symbol that the object defines for others.
template <typename Visit>
absl::Status VisitDefinitions(const LinkedObject& object, Visit visit) {
  llvm::Expected<Elf> elf = Elf::create(object.bytes);
  if (!elf) return FromLlvm(elf.takeError(), object.name);
  auto sections = elf->sections();
  if (!sections) return FromLlvm(sections.takeError(), object.name);
  for (const auto& section : *sections) {
    if (section.sh_type != llvm::ELF::SHT_SYMTAB) continue;
    auto symbols = elf->symbols(&section);
    if (!symbols) return FromLlvm(symbols.takeError(), object.name);
    auto names = elf->getStringTableForSymtab(section);
    if (!names) return FromLlvm(names.takeError(), object.name);
    for (const auto& symbol : *symbols) {
      if (symbol.getBinding() == llvm::ELF::STB_LOCAL || symbol.isUndefined()) continue;
      auto name = symbol.getName(*names);
      if (!name) return FromLlvm(name.takeError(), object.name);
      if (absl::Status visited = visit(name->str(), symbol); !visited.ok()) return visited;
    }
  }
  return absl::OkStatus();
}

// Whose definition of a name counts so far.
struct Definition {
  const LinkedModule* module = nullptr;  // null: the program
  bool is_exported = true;
};

class Joiner {
 public:
  absl::Status AddProgram(const std::vector<LinkedObject>& objects) {
    for (const LinkedObject& object : objects) {
      absl::Status status =
          VisitDefinitions(object, [this](std::string name, const Elf::Elf_Sym& symbol) {
            if (symbol.getBinding() != llvm::ELF::STB_WEAK) defined_[std::move(name)] = {};
            return absl::OkStatus();
          });
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status AddModule(LinkedModule& module) {
    const absl::StatusOr<std::vector<ExportedSymbol>> exported = ReadExports(module.path);
    if (!exported.ok()) return exported.status();
    std::set<std::string> exports;
    for (const ExportedSymbol& symbol : *exported) exports.insert(symbol.name);
    std::map<std::string, Definition> own;
    for (LinkedObject& object : module.objects) {
      std::vector<size_t> weakened;
      absl::Status status =
          VisitDefinitions(object, [&](const std::string& name, const Elf::Elf_Sym& symbol) {
            if (name == kModuleInitPointer || name == kModuleExitPointer) {
              return absl::FailedPreconditionError(
                  absl::StrCat(module.path,
                               ": has a MEND_MODULE_INIT or MEND_MODULE_EXIT, which run only where "
                               "it is loaded with dlopen or `mend load`"));
            }
            if (symbol.getBinding() == llvm::ELF::STB_WEAK) return absl::OkStatus();
            const bool is_exported = exports.contains(name);
            const auto before = defined_.find(name);
            if (before == defined_.end()) {
              own[name] = {&module, is_exported};
              return absl::OkStatus();
            }
            if (!is_exported || !before->second.is_exported) {
              return KeptToItself(module, before->second, name);
            }
            weakened.push_back(static_cast<size_t>(reinterpret_cast<const char*>(&symbol.st_info) -
                                                   object.bytes.data()));
            return absl::OkStatus();
          });
      if (!status.ok()) return status;
      for (const size_t info : weakened) {
        const uint8_t type = static_cast<uint8_t>(object.bytes[info]) & 0xf;
        object.bytes[info] = static_cast<char>(llvm::ELF::STB_WEAK << 4 | type);
      }
    }
    defined_.merge(own);
    return absl::OkStatus();
  }

 private:
  static absl::Status KeptToItself(const LinkedModule& module, const Definition& before,
                                   const std::string& name) {
    return absl::FailedPreconditionError(absl::StrCat(
        module.path, " and ", before.module == nullptr ? "the program" : before.module->path,
        " each have a '", name,
        "' of their own, which the program cannot hold both: make it static "
        "or rename it in one of them, or load the module with dlopen"));
  }

  std::map<std::string, Definition> defined_;
};

}  // namespace

absl::StatusOr<std::vector<LinkedModule>> ReadLinkedModules(
    const std::vector<std::string>& needed, const std::vector<SharedLibrary>& libraries) {
  std::vector<ModuleName> pending;
  for (const std::string& name : needed) {
    for (const SharedLibrary& library : libraries) {
      const bool is_meant =
          library.soname == name || std::filesystem::path(library.path).filename() == name;
      if (is_meant) pending.push_back({name, library.path});
    }
  }
  std::vector<LinkedModule> modules;
  // Breadth first, as the dynamic linker searches.
  for (size_t i = 0; i < pending.size(); ++i) {
    const auto [soname, path] = pending[i];
    const bool is_known =
        llvm::any_of(modules, [&](const LinkedModule& module) { return module.soname == soname; });
    if (is_known) continue;
    const absl::StatusOr<ModuleFile> file = ModuleFile::Open(path);
    if (!file.ok()) return file.status();
    if (!file->IsModule()) continue;
    absl::StatusOr<std::vector<LinkedObject>> objects = file->Objects();
    if (!objects.ok()) return objects.status();
    modules.push_back({soname, path, *std::move(objects), file->Names(kLibrariesSection)});
    const absl::StatusOr<std::vector<ModuleName>> linked = file->Linked();
    if (!linked.ok()) return linked.status();
    pending.insert(pending.end(), linked->begin(), linked->end());
  }
  return modules;
}

absl::StatusOr<std::vector<LinkedObject>> JoinObjects(std::vector<LinkedModule> modules,
                                                      std::vector<LinkedObject> program) {
  Joiner joiner;
  if (absl::Status added = joiner.AddProgram(program); !added.ok()) return added;
  for (LinkedModule& module : modules) {
    if (absl::Status added = joiner.AddModule(module); !added.ok()) return added;
  }
  // A module's constructors run before those of whoever needs it.
  std::vector<LinkedObject> joined;
  for (LinkedModule& module : llvm::reverse(modules)) {
    llvm::move(module.objects, std::back_inserter(joined));
  }
  llvm::move(program, std::back_inserter(joined));
  return joined;
}

std::vector<std::string> LinkedNames(const std::vector<LinkedModule>& modules) {
  std::vector<std::string> names;
  for (const LinkedModule& module : modules) {
    names.push_back(module.soname);
    names.push_back(std::filesystem::absolute(module.path));
  }
  return names;
}

}  // namespace mend::patchc
