#include "tests/jit/test_objects.h"

#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <utility>

#include "gtest/gtest.h"
#include "jit/link/entry_stubs.h"
#include "runtime/format/object_description.h"

namespace mend::jit {
namespace {

// A folder of this process, removed at its end.
class Scratch {
 public:
  Scratch() {
    char path[] = "/tmp/mend-jit-test-XXXXXX";
    path_ = mkdtemp(path);
  }
  ~Scratch() { Run("rm -rf " + path_); }
  std::string File(const std::string& name) const { return path_ + "/" + name; }
  static void Run(const std::string& command) {
    if (system(command.c_str()) != 0) ADD_FAILURE() << command;
  }

 private:
  std::string path_;
};

const Scratch& GetScratch() {
  static const Scratch scratch;
  return scratch;
}

void Write(const std::string& path, const std::string& contents) {
  std::ofstream(path, std::ios::binary) << contents;
}

std::string Read(const std::string& path) {
  std::ostringstream contents;
  contents << std::ifstream(path, std::ios::binary).rdbuf();
  return contents.str();
}

std::string WithSection(const std::string& object, const std::string& name,
                        const std::string& contents) {
  const std::string file = GetScratch().File("plain.o");
  const std::string section = GetScratch().File("section");
  Write(file, object);
  Write(section, contents);
  Scratch::Run("llvm-objcopy-22 --add-section " + name + "=" + section + " --set-section-flags " +
               name + "=exclude " + file);
  return Read(file);
}

}  // namespace

std::string Compile(const std::string& text, bool cplusplus, const std::string& flags) {
  const std::string source = GetScratch().File(cplusplus ? "unit.cc" : "unit.c");
  const std::string object = GetScratch().File("unit.o");
  Write(source, text);
  Scratch::Run(std::string(cplusplus ? "clang++-22 -std=c++20" : "clang-22") +
               " -c -O2 -fPIE -ffunction-sections -fdata-sections -fasynchronous-unwind-tables"
               " -fpatchable-function-entry=8 -falign-functions=16 " +
               flags + " -o " + object + " " + source);
  return Read(object);
}

std::string UnitOf(const std::string& name) { return name + ".c|" + name + ".o"; }

std::string CompileUnit(const std::string& name, const std::string& text,
                        const std::vector<std::string>& functions) {
  ObjectDescription description;
  for (const std::string& function : functions) {
    FunctionDescription described;
    described.name = function;
    described.patchable = true;
    described.fingerprint = "base:" + function;
    description.functions.push_back(described);
  }
  return CompileDescribed(name, text, std::move(description));
}

std::string CompileDescribed(const std::string& name, const std::string& text,
                             ObjectDescription description) {
  description.source = name + ".c";
  description.output = name + ".o";
  return WithSection(Compile(text), kObjectSection, SerializeObjectDescription(description));
}

std::string GuestModuleFile(const std::vector<std::string>& objects) {
  std::vector<std::string> names;
  std::vector<ProgramObject> image;
  for (size_t i = 0; i < objects.size(); ++i) names.push_back("guest" + std::to_string(i) + ".o");
  for (size_t i = 0; i < objects.size(); ++i) image.push_back({names[i], objects[i]});
  return WithSection(Compile("int shell;"), kModuleSection, SerializeProgramImage(image));
}

PatchModule Module(std::vector<PatchUnit> units) {
  PatchModule module;
  module.name = "fix";
  module.units = std::move(units);
  return module;
}

PatchedFunction Replaces(const std::string& function, Binding binding) {
  PatchedFunction replaced;
  replaced.name = function;
  replaced.binding = binding;
  replaced.base_fingerprint = "base:" + function;
  return replaced;
}

std::unique_ptr<Session> Host(const std::vector<std::string>& objects) {
  auto session = Session::Create({});
  if (!session.ok()) {
    ADD_FAILURE() << session.status().ToString();
    return nullptr;
  }
  static std::vector<std::string>& names = *new std::vector<std::string>;
  names.reserve(64);
  std::vector<ProgramObject> program;
  for (size_t i = 0; i < objects.size(); ++i) {
    if (names.size() <= i) names.push_back(std::to_string(i) + ".o");
    program.push_back({names[i], objects[i]});
  }
  absl::Status loaded = (*session)->LoadProgram("test", program);
  if (!loaded.ok()) {
    ADD_FAILURE() << loaded.ToString();
    return nullptr;
  }
  (*session)->InitializeThread();
  char* arguments[] = {nullptr};
  (*session)->RunInitializers(0, arguments, environ);
  return *std::move(session);
}

PatchUnit Unit(const std::string& name, std::string object,
               std::vector<PatchedFunction> functions) {
  PatchUnit unit;
  unit.unit = UnitOf(name);
  unit.functions = std::move(functions);
  unit.object = std::move(object);
  return unit;
}

void Activate(Session& session, const Patch& patch) {
  std::vector<EntryWrite> writes;
  for (const PatchFunction& function : patch.objects[0].functions) {
    *function.old.slot = function.new_body.value;
    writes.push_back({function.old.entry, OpenEntry(function.old.entry, function.old.slot)});
  }
  ASSERT_TRUE(session.WriteEntries(writes).ok());
}

void Deactivate(Session& session, const Patch& patch) {
  std::vector<EntryWrite> writes;
  for (const PatchFunction& function : patch.objects[0].functions) {
    *function.old.slot = function.old.entry.value + kEntryStubSize;
    writes.push_back({function.old.entry, kClosedEntry});
  }
  ASSERT_TRUE(session.WriteEntries(writes).ok());
}

}  // namespace mend::jit
