#include "patchc/link/linked_modules.h"

#include <llvm/ADT/STLExtras.h>
#include <llvm/Object/ELF.h>
#include <llvm/Support/MemoryBuffer.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "patchc/object/dynamic_symbols.h"
#include "patchc/support/llvm_status.h"
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

// Calls `visit` with the name and the entry of each symbol that the object defines for others, and
// whether every object that uses it defines it too (inline functions and the like).
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
      const bool is_everywhere =
          symbol.st_shndx < sections->size() &&
          ((*sections)[symbol.st_shndx].sh_flags & llvm::ELF::SHF_GROUP) != 0;
      // The default version is what the plain name means.
      absl::Status visited = visit(name->split("@@").first.str(), symbol, is_everywhere);
      if (!visited.ok()) return visited;
    }
  }
  return absl::OkStatus();
}

// Whose definition of a name counts so far. The dynamic linker takes the first, be it weak.
struct Definition {
  const LinkedModule* module = nullptr;  // null: the program
  LinkedObject* object = nullptr;
  bool is_exported = true;
  size_t weak_at = 0;  // where the object says so, if it is weak
};

// Where the object says of what kind the symbol is.
size_t PlaceOfKind(const LinkedObject& object, const Elf::Elf_Sym& symbol) {
  return static_cast<size_t>(reinterpret_cast<const char*>(&symbol.st_info) - object.bytes.data());
}

void SetBinding(LinkedObject& object, size_t place, uint8_t binding) {
  const uint8_t type = static_cast<uint8_t>(object.bytes[place]) & 0xf;
  object.bytes[place] = static_cast<char>(binding << 4 | type);
}

// Whether two objects were made of the same sources and came out the same, as a project's common
// units do that are linked into its library and into its program.
bool AreSameUnit(const LinkedObject& left, const LinkedObject& right) {
  if (left.bytes == right.bytes) return true;
  ObjectDescription descriptions[2];
  const LinkedObject* const objects[] = {&left, &right};
  for (size_t i = 0; i < 2; ++i) {
    const absl::StatusOr<std::string_view> section =
        FindElfSection(objects[i]->bytes, kObjectSection);
    if (!section.ok()) return false;
    absl::StatusOr<ObjectDescription> description = ParseObjectDescription(*section);
    if (!description.ok()) return false;
    descriptions[i] = *std::move(description);
  }
  const auto& [a, b] = descriptions;
  const auto same = [](const auto& one, const auto& other) {
    return one.name == other.name && one.fingerprint == other.fingerprint;
  };
  return a.directory == b.directory && a.source == b.source && a.compiler == b.compiler &&
         std::equal(a.functions.begin(), a.functions.end(), b.functions.begin(), b.functions.end(),
                    same) &&
         std::equal(a.data.begin(), a.data.end(), b.data.begin(), b.data.end(), same);
}

class Joiner {
 public:
  // REQUIRES: `objects` stay where they are, as do the modules'.
  absl::Status AddProgram(std::vector<LinkedObject>& objects) {
    for (LinkedObject& object : objects) {
      absl::Status status = VisitDefinitions(
          object, [&](const std::string& name, const Elf::Elf_Sym& symbol, bool is_everywhere) {
            Add(defined_, name, {nullptr, &object, true}, symbol, is_everywhere);
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
    std::set<const LinkedObject*> shared;
    for (LinkedObject& object : module.objects) {
      std::vector<size_t> weakened;
      absl::Status status = VisitDefinitions(
          object, [&](const std::string& name, const Elf::Elf_Sym& symbol, bool is_everywhere) {
            if (name == kModuleInitPointer || name == kModuleExitPointer) {
              return absl::FailedPreconditionError(
                  absl::StrCat(module.path,
                               ": has a MEND_MODULE_INIT or MEND_MODULE_EXIT, which run only where "
                               "it is loaded with dlopen or `mend load`"));
            }
            const bool is_exported = exports.contains(name.substr(0, name.find('@')));
            const auto before = defined_.find(name);
            if (before == defined_.end()) {
              Add(own, name, {&module, &object, is_exported}, symbol, is_everywhere);
              return absl::OkStatus();
            }
            if (symbol.getBinding() == llvm::ELF::STB_WEAK) {
              if (!is_everywhere) MakeStrong(before->second);
              return absl::OkStatus();
            }
            if (!is_exported || !before->second.is_exported) {
              if (!shared.contains(&object) && !AreSameUnit(*before->second.object, object)) {
                return KeptToItself(module, before->second, name);
              }
              shared.insert(&object);
              return absl::OkStatus();
            }
            MakeStrong(before->second);
            weakened.push_back(PlaceOfKind(object, symbol));
            return absl::OkStatus();
          });
      if (!status.ok()) return status;
      for (const size_t place : weakened) SetBinding(object, place, llvm::ELF::STB_WEAK);
    }
    std::erase_if(
        own, [&](const auto& definition) { return shared.contains(definition.second.object); });
    defined_.merge(own);
    if (!shared.empty()) Share(module, shared);
    return absl::OkStatus();
  }

  bool IsShared(const LinkedObject& object) const { return shared_.contains(&object); }
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  // Of one link's definitions a strong one counts, else the first one.
  static void Add(std::map<std::string, Definition>& definitions, const std::string& name,
                  Definition definition, const Elf::Elf_Sym& symbol, bool is_everywhere) {
    if (symbol.getBinding() != llvm::ELF::STB_WEAK) {
      definitions[name] = definition;
    } else if (!is_everywhere && definition.is_exported) {
      definition.weak_at = PlaceOfKind(*definition.object, symbol);
      definitions.try_emplace(name, definition);
    }
  }

  // The loader, which sees all objects as one link's, takes it then.
  static void MakeStrong(Definition& definition) {
    if (definition.weak_at == 0) return;
    SetBinding(*definition.object, definition.weak_at, llvm::ELF::STB_GLOBAL);
    definition.weak_at = 0;
  }

  // Takes out of the module what the program has too. Natively there would be two, each with its
  // own variables, as there would not be if the library were an archive.
  void Share(const LinkedModule& module, const std::set<const LinkedObject*>& shared) {
    notes_.push_back(absl::StrCat(module.path, ": ", shared.size(),
                                  " unit(s) that it keeps to itself are the program's own: there "
                                  "is one of each, with its variables"));
    shared_.insert(shared.begin(), shared.end());
  }

  static absl::Status KeptToItself(const LinkedModule& module, const Definition& before,
                                   const std::string& name) {
    return absl::FailedPreconditionError(absl::StrCat(
        module.path, " and ", before.module == nullptr ? "the program" : before.module->path,
        " each have a '", name,
        "' of their own, which the program cannot hold both: make it static "
        "or rename it in one of them, or load the module with dlopen"));
  }

  std::map<std::string, Definition> defined_;
  std::set<const LinkedObject*> shared_;
  std::vector<std::string> notes_;
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

absl::StatusOr<JoinedObjects> JoinObjects(std::vector<LinkedModule> modules,
                                          std::vector<LinkedObject> program) {
  Joiner joiner;
  if (absl::Status added = joiner.AddProgram(program); !added.ok()) return added;
  for (LinkedModule& module : modules) {
    if (absl::Status added = joiner.AddModule(module); !added.ok()) return added;
  }
  // A module's constructors run before those of whoever needs it.
  JoinedObjects joined;
  joined.notes = joiner.notes();
  for (size_t i = modules.size(); i > 0; --i) {
    for (LinkedObject& object : modules[i - 1].objects) {
      if (joiner.IsShared(object)) continue;
      object.link = static_cast<uint32_t>(i);
      joined.objects.push_back(std::move(object));
    }
  }
  llvm::move(program, std::back_inserter(joined.objects));
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
