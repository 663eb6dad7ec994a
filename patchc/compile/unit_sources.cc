#include "patchc/compile/unit_sources.h"

#include <clang/Basic/FileManager.h>
#include <clang/Basic/SourceManager.h>
#include <clang/Serialization/ASTReader.h>
#include <clang/Serialization/ModuleFile.h>
#include <llvm/ADT/SmallString.h>
#include <llvm/Support/Path.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "patchc/object/fingerprint.h"

namespace mend::patchc {
namespace {

class IncludeNameCollector : public clang::PPCallbacks {
 public:
  explicit IncludeNameCollector(IncludeNames& names) : names_(names) {}

  void InclusionDirective(clang::SourceLocation /*hash*/, const clang::Token& /*include*/,
                          llvm::StringRef /*name*/, bool /*is_angled*/,
                          clang::CharSourceRange /*range*/, clang::OptionalFileEntryRef file,
                          llvm::StringRef /*search_path*/, llvm::StringRef /*relative_path*/,
                          const clang::Module* /*suggested_module*/, bool /*module_imported*/,
                          clang::SrcMgr::CharacteristicKind /*kind*/) override {
    if (file) names_[&file->getFileEntry()].insert(file->getName().str());
  }

 private:
  IncludeNames& names_;
};

// The path without symbolic links, if that is another one.
std::string RealPathIfOther(clang::CompilerInstance& clang, llvm::StringRef path) {
  llvm::SmallString<256> real;
  if (clang.getVirtualFileSystem().getRealPath(path, real)) return {};
  llvm::SmallString<256> lexical(path);
  llvm::sys::path::remove_dots(lexical, /*remove_dot_dot=*/true);
  return real == lexical ? std::string() : real.str().str();
}

SourceDescription Describe(llvm::StringRef contents, bool is_system) {
  SourceDescription source;
  source.hash = HashHex({contents.data(), contents.size()});
  source.is_system = is_system;
  // Nobody looks for an edit there. Hashes do not compress, and there are many.
  if (is_system) source.hash.resize(source.hash.size() / 4);
  return source;
}

// The name as an absolute path; empty where that cannot be had.
std::string AbsolutePath(clang::CompilerInstance& clang, llvm::StringRef name) {
  llvm::SmallString<256> path(name);
  if (clang.getVirtualFileSystem().makeAbsolute(path)) return {};
  llvm::sys::path::remove_dots(path);
  return path.str().str();
}

void Add(clang::CompilerInstance& clang, SourceDescription source, llvm::StringRef contents,
         UnitResult& result) {
  if (!source.is_system) {
    source.real_path = RealPathIfOther(clang, source.path);
    result.sources.push_back({source.path, contents.str()});
  }
  result.description.sources.push_back(std::move(source));
}

// The tables of files are hash tables of pointers.
void Sort(UnitResult& result) {
  std::sort(result.sources.begin(), result.sources.end(),
            [](const SourceText& a, const SourceText& b) { return a.path < b.path; });
  std::sort(result.description.sources.begin(), result.description.sources.end(),
            [](const SourceDescription& a, const SourceDescription& b) { return a.path < b.path; });
}

bool IsModule(const clang::serialization::ModuleFile& file) {
  return file.Kind != clang::serialization::MK_Preamble &&
         file.Kind != clang::serialization::MK_PCH;
}

}  // namespace

std::unique_ptr<clang::PPCallbacks> CollectIncludeNames(IncludeNames& names) {
  return std::make_unique<IncludeNameCollector>(names);
}

void CollectSources(clang::CompilerInstance& clang, const IncludeNames& names, UnitResult& result) {
  clang::SourceManager& manager = clang.getSourceManager();
  const clang::OptionalFileEntryRef main = manager.getFileEntryRefForID(manager.getMainFileID());
  for (auto file = manager.fileinfo_begin(); file != manager.fileinfo_end(); ++file) {
    const std::optional<llvm::StringRef> contents = file->second->getBufferDataIfLoaded();
    if (!contents) continue;
    const clang::FileID id = manager.translateFile(file->first);
    SourceDescription source =
        Describe(*contents, id.isValid() && clang::SrcMgr::isSystem(manager.getFileCharacteristic(
                                                manager.getLocForStartOfFile(id))));
    std::set<std::string> spellings = {file->first.getName().str()};
    const auto included = names.find(&file->first.getFileEntry());
    if (included != names.end() && !source.is_system) {
      spellings.insert(included->second.begin(), included->second.end());
    }
    std::set<std::string> paths;
    for (const std::string& name : spellings) {
      source.path = AbsolutePath(clang, name);
      if (source.path.empty() || !paths.insert(source.path).second) continue;
      if (main && *main == file->first && name == file->first.getName()) {
        result.main_source = source.path;
      }
      Add(clang, source, *contents, result);
    }
  }
  Sort(result);
}

void CollectModules(clang::CompilerInstance& clang, clang::ASTReader& reader, UnitResult& result) {
  std::set<std::string> known;
  for (const SourceDescription& source : result.description.sources) known.insert(source.path);
  for (clang::serialization::ModuleFile& module : reader.getModuleManager()) {
    if (!IsModule(module)) continue;
    RecordDescription record;
    record.name = module.ModuleName;
    record.kind = "module";
    const auto interface = clang.getFileManager().getBufferForFile(module.File);
    if (interface) record.fields.push_back({.type = HashHex((*interface)->getBuffer())});
    result.description.records.push_back(std::move(record));
    const auto add = [&](const clang::serialization::InputFile& input, bool is_system) {
      const clang::OptionalFileEntryRef file = input.getFile();
      if (!file) return;
      const std::string path = AbsolutePath(clang, file->getName());
      if (path.empty()) return;
      if (!is_system) result.module_sources.insert(path);
      const auto contents = clang.getFileManager().getBufferForFile(*file);
      if (!contents || !known.insert(path).second) return;
      SourceDescription source = Describe((*contents)->getBuffer(), is_system);
      source.path = path;
      Add(clang, std::move(source), (*contents)->getBuffer(), result);
    };
    reader.visitInputFiles(module, /*IncludeSystem=*/true, /*Complain=*/false, add);
  }
  Sort(result);
}

}  // namespace mend::patchc
