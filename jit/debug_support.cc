#include "jit/debug_support.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/check.h"

// gdb's JIT interface. It finds both by name, and stops at the function to read the list.
extern "C" {

struct jit_code_entry {
  jit_code_entry* next_entry;
  jit_code_entry* prev_entry;
  const char* symfile_addr;
  uint64_t symfile_size;
};

struct jit_descriptor {
  uint32_t version;
  uint32_t action_flag;  // JIT_NOACTION, JIT_REGISTER_FN, JIT_UNREGISTER_FN
  jit_code_entry* relevant_entry;
  jit_code_entry* first_entry;
};

__attribute__((visibility("default"), used)) jit_descriptor __jit_debug_descriptor = {1, 0, nullptr,
                                                                                      nullptr};

// The assembler statement keeps the compiler from merging or dropping calls of an empty function.
__attribute__((visibility("default"), used, noinline)) void __jit_debug_register_code() {
  __asm__ volatile("" ::: "memory");
}

}  // extern "C"

namespace mend::jit {
namespace {

enum DebuggerAction : uint32_t { kRegister = 1, kUnregister = 2 };

// A view of `count` records at `offset` of the file; null when they are not all within it.
template <typename Record>
Record* At(std::string& file, uint64_t offset, uint64_t count) {
  if (offset > file.size() || count > (file.size() - offset) / sizeof(Record)) return nullptr;
  return reinterpret_cast<Record*>(file.data() + offset);
}

// One object file while it is rewritten.
class ObjectPlacer {
 public:
  explicit ObjectPlacer(std::string_view object) : file_(object) {}

  absl::StatusOr<std::string> Place(const LinkedAddresses& addresses, std::string_view version);

 private:
  bool FindTables();
  std::string_view NameOf(const Elf64_Sym& symbol) const;
  void PlaceSections(const LinkedAddresses& addresses);
  void RenameFunctions(const LinkedAddresses& addresses, std::string_view version);

  std::string file_;
  std::vector<Elf64_Shdr> sections_;
  std::vector<Elf64_Sym> symbols_;
  size_t symbol_table_ = 0;  // section numbers
  size_t string_table_ = 0;
  std::string names_;
};

bool ObjectPlacer::FindTables() {
  const auto* const header = At<Elf64_Ehdr>(file_, 0, 1);
  if (header == nullptr || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
      header->e_type != ET_REL || header->e_shentsize != sizeof(Elf64_Shdr)) {
    return false;
  }
  auto* const first = At<Elf64_Shdr>(file_, header->e_shoff, 1);
  if (first == nullptr) return false;
  // More sections than the header's field can count: the first section says how many.
  const uint64_t count = header->e_shnum != 0 ? header->e_shnum : first->sh_size;
  const auto* const all = At<Elf64_Shdr>(file_, header->e_shoff, count);
  if (all == nullptr) return false;
  sections_.assign(all, all + count);
  const auto table = std::find_if(sections_.begin(), sections_.end(),
                                  [](const Elf64_Shdr& s) { return s.sh_type == SHT_SYMTAB; });
  if (table == sections_.end() || table->sh_link >= sections_.size()) return false;
  symbol_table_ = static_cast<size_t>(table - sections_.begin());
  string_table_ = table->sh_link;
  const uint64_t symbols = table->sh_size / sizeof(Elf64_Sym);
  const auto* const entries = At<Elf64_Sym>(file_, table->sh_offset, symbols);
  const Elf64_Shdr& strings = sections_[string_table_];
  const char* const names = At<char>(file_, strings.sh_offset, strings.sh_size);
  if (entries == nullptr || names == nullptr) return false;
  symbols_.assign(entries, entries + symbols);
  names_.assign(names, strings.sh_size);
  names_.push_back('\0');
  return true;
}

std::string_view ObjectPlacer::NameOf(const Elf64_Sym& symbol) const {
  return symbol.st_name < names_.size() ? std::string_view(names_.data() + symbol.st_name)
                                        : std::string_view();
}

void ObjectPlacer::PlaceSections(const LinkedAddresses& addresses) {
  std::vector<bool> placed(sections_.size());
  for (const Elf64_Sym& symbol : symbols_) {
    if (symbol.st_shndx == SHN_UNDEF || symbol.st_shndx >= sections_.size()) continue;
    const auto at = addresses.find(NameOf(symbol));
    if (at == addresses.end()) continue;
    sections_[symbol.st_shndx].sh_addr = at->second - symbol.st_value;
    placed[symbol.st_shndx] = true;
  }
  // What was dropped, or another object provides, is nowhere: at address 0 it would shadow others.
  for (size_t i = 0; i < sections_.size(); ++i) {
    if (!placed[i]) sections_[i].sh_flags &= ~static_cast<uint64_t>(SHF_ALLOC);
  }
}

void ObjectPlacer::RenameFunctions(const LinkedAddresses& addresses, std::string_view version) {
  if (version.empty()) return;
  for (Elf64_Sym& symbol : symbols_) {
    const std::string name(NameOf(symbol));
    if (ELF64_ST_TYPE(symbol.st_info) != STT_FUNC || !addresses.contains(name)) continue;
    symbol.st_name = static_cast<uint32_t>(names_.size());
    names_ += name;
    names_ += '@';
    names_ += version;
    names_.push_back('\0');
  }
}

absl::StatusOr<std::string> ObjectPlacer::Place(const LinkedAddresses& addresses,
                                                std::string_view version) {
  if (!FindTables()) return absl::InvalidArgumentError("no relocatable ELF file with symbols");
  PlaceSections(addresses);
  RenameFunctions(addresses, version);
  // The longer table of names goes behind everything else.
  sections_[string_table_].sh_offset = file_.size();
  sections_[string_table_].sh_size = names_.size();
  const auto* const header = At<Elf64_Ehdr>(file_, 0, 1);
  std::copy(sections_.begin(), sections_.end(),
            At<Elf64_Shdr>(file_, header->e_shoff, sections_.size()));
  std::copy(symbols_.begin(), symbols_.end(),
            At<Elf64_Sym>(file_, sections_[symbol_table_].sh_offset, symbols_.size()));
  file_ += names_;
  return std::move(file_);
}

void Announce(DebuggerAction action, jit_code_entry* entry) {
  __jit_debug_descriptor.action_flag = action;
  __jit_debug_descriptor.relevant_entry = entry;
  __jit_debug_register_code();
  __jit_debug_descriptor.action_flag = 0;
}

}  // namespace

absl::StatusOr<std::string> PlaceObject(std::string_view object, const LinkedAddresses& addresses,
                                        std::string_view version) {
  return ObjectPlacer(object).Place(addresses, version);
}

struct DebugSupport::Registered {
  std::string file;
  jit_code_entry entry = {};
};

absl::StatusOr<std::unique_ptr<DebugSupport>> DebugSupport::Create(const Options& options) {
  std::unique_ptr<DebugSupport> support(new DebugSupport(options));
  const MutexLock lock(&support->mu_);
  if (absl::Status created = support->CreateMap(); !created.ok()) return created;
  return support;
}

DebugSupport::~DebugSupport() {
  const MutexLock lock(&mu_);
  MEND_CHECK(objects_.empty(), "a linked object outlives the debug support");
}

DebugSupport::Handle DebugSupport::AddObject(std::string_view object,
                                             const LinkedAddresses& addresses,
                                             std::string_view version) {
  if (!options_.debugger) return nullptr;
  absl::StatusOr<std::string> placed = PlaceObject(object, addresses, version);
  if (!placed.ok()) return nullptr;
  auto registered = std::make_unique<Registered>();
  registered->file = *std::move(placed);
  jit_code_entry* const entry = &registered->entry;
  entry->symfile_addr = registered->file.data();
  entry->symfile_size = registered->file.size();
  const MutexLock lock(&mu_);
  entry->next_entry = __jit_debug_descriptor.first_entry;
  if (entry->next_entry != nullptr) entry->next_entry->prev_entry = entry;
  __jit_debug_descriptor.first_entry = entry;
  Announce(kRegister, entry);
  objects_.push_back(std::move(registered));
  return objects_.back().get();
}

void DebugSupport::Remove(Handle handle) {
  if (handle == nullptr) return;
  const MutexLock lock(&mu_);
  const auto at = std::find_if(objects_.begin(), objects_.end(),
                               [handle](const auto& object) { return object.get() == handle; });
  MEND_CHECK(at != objects_.end(), "an object is removed from the debugger's list twice");
  jit_code_entry* const entry = &(*at)->entry;
  if (entry->prev_entry != nullptr) {
    entry->prev_entry->next_entry = entry->next_entry;
  } else {
    __jit_debug_descriptor.first_entry = entry->next_entry;
  }
  if (entry->next_entry != nullptr) entry->next_entry->prev_entry = entry->prev_entry;
  Announce(kUnregister, entry);
  objects_.erase(at);
}

absl::Status DebugSupport::CreateMap() {
  if (!options_.perf) return absl::OkStatus();
  map_path_ = absl::StrCat("/tmp/perf-", ::getpid(), ".map");
  // The name is known in advance and the directory is everybody's: what lies there already may be
  // somebody's link.
  ::unlink(map_path_.c_str());
  const int fd = ::open(map_path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                        S_IRUSR | S_IWUSR);
  if (fd >= 0) {
    ::close(fd);
    return absl::OkStatus();
  }
  const int error = errno;
  return absl::FailedPreconditionError(absl::StrCat(
      "--perf: cannot write '", std::exchange(map_path_, ""), "': ", std::strerror(error)));
}

void DebugSupport::WriteMap(std::string_view lines) {
  if (map_path_.empty()) return;
  // Opened anew each time: the program may close every descriptor, and use the number itself.
  const int fd = ::open(map_path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return;
  // A full disk costs names, nothing else.
  while (!lines.empty()) {
    const ssize_t size = ::write(fd, lines.data(), lines.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    lines.remove_prefix(static_cast<size_t>(size));
  }
  ::close(fd);
}

void DebugSupport::AddFunction(CodeRange text, std::string_view name, std::string_view version) {
  if (!options_.perf) return;
  const std::string line =
      absl::StrCat(absl::Hex(text.begin.value), " ", absl::Hex(text.size()), " ",
                   absl::string_view(name.data(), name.size()), version.empty() ? "" : "@",
                   absl::string_view(version.data(), version.size()), "\n");
  const MutexLock lock(&mu_);
  map_lines_ += line;
  WriteMap(line);
}

void DebugSupport::ChildAfterFork() {
  if (CreateMap().ok()) WriteMap(map_lines_);
  mu_.Unlock();
}

}  // namespace mend::jit
