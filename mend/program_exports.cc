#include "mend/program_exports.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <set>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "mend/mapped_file.h"
#include "runtime/base/failpoint.h"
#include "runtime/format/program_image.h"

namespace mend {
namespace {

// Set once, before anything of the program runs; null: it is an embedding host's.
constinit const std::set<std::string>* shown_names = nullptr;

constexpr char kLibraryName[] = "mend-exports";

// The System V ABI's, of DT_HASH.
uint32_t HashName(std::string_view name) {
  uint32_t hash = 0;
  for (const char c : name) {
    hash = (hash << 4) + static_cast<unsigned char>(c);
    const uint32_t high = hash & 0xf0000000;
    hash ^= high >> 24;
    hash &= ~high;
  }
  return hash;
}

template <typename T>
void AppendBytes(std::string& bytes, const T* values, size_t count) {
  bytes.append(reinterpret_cast<const char*>(values), count * sizeof(T));
}

absl::Status SystemRefused(const char* call) {
  return absl::UnavailableError(absl::StrCat(call, ": ", std::strerror(errno)));
}

bool WriteAll(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

// The loader takes a file that it has under the same path for the same file, so each gets another
// one. A program that opens a file of its own by descriptor spells it /proc/self/fd.
std::string PathOf(int descriptor) {
  static constinit std::atomic<unsigned> next_number{0};
  std::string path = "/proc/thread-self/fd/";
  for (unsigned number = next_number.fetch_add(1, std::memory_order_relaxed); number != 0;
       number /= 2) {
    path += number % 2 == 0 ? "./" : "../fd/";
  }
  return absl::StrCat(path, descriptor);
}

// What the dynamic section leads to.
struct SymbolTables {
  std::string strings = std::string(1, '\0');
  size_t soname = 0;                                           // among the strings
  std::vector<Elf64_Sym> symbols = std::vector<Elf64_Sym>(1);  // the first is nobody's
  std::vector<uint32_t> hash;  // number of buckets, number of symbols, buckets, chains
};

SymbolTables MakeTables(const std::vector<AbsoluteSymbol>& symbols) {
  SymbolTables tables;
  tables.soname = tables.strings.size();
  tables.strings.append(kLibraryName, sizeof kLibraryName);
  const size_t buckets = symbols.empty() ? 1 : symbols.size();
  tables.hash.resize(2 + buckets + 1 + symbols.size());
  tables.hash[0] = static_cast<uint32_t>(buckets);
  tables.hash[1] = static_cast<uint32_t>(1 + symbols.size());
  for (const AbsoluteSymbol& symbol : symbols) {
    const size_t index = tables.symbols.size();
    tables.symbols.push_back({.st_name = static_cast<Elf64_Word>(tables.strings.size()),
                              .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_NOTYPE),
                              .st_other = STV_DEFAULT,
                              .st_shndx = SHN_ABS,
                              .st_value = symbol.address.value,
                              .st_size = 0});
    tables.strings.append(symbol.name).push_back('\0');
    uint32_t& bucket = tables.hash[2 + HashName(symbol.name) % buckets];
    tables.hash[2 + buckets + index] = std::exchange(bucket, static_cast<uint32_t>(index));
  }
  return tables;
}

Elf64_Ehdr MakeHeader(Elf64_Half segments) {
  Elf64_Ehdr header = {};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_DYN;
  header.e_machine = EM_X86_64;
  header.e_version = EV_CURRENT;
  header.e_phoff = sizeof header;
  header.e_ehsize = sizeof header;
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = segments;
  return header;
}

// Of the file's bytes from `at` on, at the same place in memory. Writable: older loaders add the
// load address to what is in the dynamic section.
Elf64_Phdr MakeSegment(Elf64_Word type, size_t at, size_t size, size_t alignment) {
  return {.p_type = type,
          .p_flags = PF_R | PF_W,
          .p_offset = at,
          .p_vaddr = at,
          .p_paddr = at,
          .p_filesz = size,
          .p_memsz = size,
          .p_align = alignment};
}

}  // namespace

std::string MakeSymbolLibrary(const std::vector<AbsoluteSymbol>& symbols) {
  const SymbolTables tables = MakeTables(symbols);
  constexpr size_t kSegments = 3;
  Elf64_Dyn dynamic[7] = {};  // the last one ends it
  const size_t symbols_at = sizeof(Elf64_Ehdr) + kSegments * sizeof(Elf64_Phdr);
  const size_t dynamic_at = symbols_at + tables.symbols.size() * sizeof(Elf64_Sym);
  const size_t hash_at = dynamic_at + sizeof dynamic;
  const size_t strings_at = hash_at + tables.hash.size() * sizeof(uint32_t);
  const size_t size = strings_at + tables.strings.size();
  const std::pair<Elf64_Sxword, Elf64_Xword> entries[] = {
      {DT_SONAME, tables.soname},        {DT_HASH, hash_at},
      {DT_SYMTAB, symbols_at},           {DT_STRTAB, strings_at},
      {DT_STRSZ, tables.strings.size()}, {DT_SYMENT, sizeof(Elf64_Sym)}};
  static_assert(std::size(entries) < std::size(dynamic));
  for (size_t i = 0; i < std::size(entries); ++i) {
    dynamic[i].d_tag = entries[i].first;
    dynamic[i].d_un.d_val = entries[i].second;
  }
  constexpr size_t kPage = 4096;
  const Elf64_Ehdr header = MakeHeader(kSegments);
  const Elf64_Phdr segments[kSegments] = {
      MakeSegment(PT_LOAD, 0, size, kPage),
      MakeSegment(PT_DYNAMIC, dynamic_at, sizeof dynamic, alignof(Elf64_Dyn)),
      // Without it the loader would make all stacks executable.
      MakeSegment(PT_GNU_STACK, 0, 0, 16)};
  std::string library;
  library.reserve(size);
  AppendBytes(library, &header, 1);
  AppendBytes(library, segments, kSegments);
  AppendBytes(library, tables.symbols.data(), tables.symbols.size());
  AppendBytes(library, dynamic, std::size(dynamic));
  AppendBytes(library, tables.hash.data(), tables.hash.size());
  library += tables.strings;
  return library;
}

absl::StatusOr<SymbolLibrary> SymbolLibrary::Open(const std::vector<AbsoluteSymbol>& symbols,
                                                  bool stays) {
  if (MEND_FAILPOINT("host/no_memory_file")) {
    errno = EMFILE;
    return SystemRefused("memfd_create");
  }
  const int descriptor = memfd_create(kLibraryName, MFD_CLOEXEC);
  if (descriptor < 0) return SystemRefused("memfd_create");
  absl::StatusOr<SymbolLibrary> library = SymbolLibrary();
  if (!WriteAll(descriptor, MakeSymbolLibrary(symbols))) {
    library = SystemRefused("write");
  } else {
    library->path_ = PathOf(descriptor);
    const int flags = RTLD_NOW | RTLD_GLOBAL | (stays ? RTLD_NODELETE : 0);
    library->handle_ = dlopen(library->path_.c_str(), flags);
    if (!library->is_open()) library = absl::UnavailableError(dlerror());
  }
  close(descriptor);
  return library;
}

void SymbolLibrary::Close() {
  if (handle_ != nullptr) dlclose(handle_);
  handle_ = nullptr;
}

bool SymbolLibrary::IsKept() const {
  // That would be the executable's name.
  if (path_.empty()) return false;
  struct Search {
    const std::string& path;
    bool found;
  } search{path_, false};
  const auto compare = [](dl_phdr_info* object, size_t, void* argument) {
    auto& wanted = *static_cast<Search*>(argument);
    wanted.found = wanted.found || wanted.path == object->dlpi_name;
    return 0;
  };
  dl_iterate_phdr(compare, &search);
  return search.found;
}

bool SymbolLibrary::Reopen() {
  if (handle_ == nullptr && IsKept()) {
    handle_ = dlopen(path_.c_str(), RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD);
  }
  return is_open();
}

std::vector<AbsoluteSymbol> ExportsOfModule(const GuestModule& module) {
  std::vector<AbsoluteSymbol> symbols;
  const absl::StatusOr<std::string_view> table = FindElfSection(module.file(), ".dynsym");
  const absl::StatusOr<std::string_view> names = FindElfSection(module.file(), ".dynstr");
  if (!table.ok() || !names.ok()) return symbols;
  for (size_t at = 0; at + sizeof(Elf64_Sym) <= table->size(); at += sizeof(Elf64_Sym)) {
    Elf64_Sym symbol;
    std::memcpy(&symbol, table->data() + at, sizeof(symbol));
    if (symbol.st_shndx == SHN_UNDEF || symbol.st_name >= names->size()) continue;
    std::string name(names->substr(symbol.st_name));
    name.resize(std::strlen(name.c_str()));
    void* const address = jit::Session::FindSymbol(module, name);
    if (address == nullptr) continue;
    symbols.push_back({std::move(name), CodeAddress{reinterpret_cast<uintptr_t>(address)}});
  }
  return symbols;
}

absl::Status ShowProgramToLibraries(const jit::Session& session) {
  std::vector<AbsoluteSymbol> symbols;
  std::vector<std::string> names = NamesInExecutable(kExportsSection);
  shown_names = new std::set<std::string>(names.begin(), names.end());
  for (std::string& name : names) {
    // A copy of a library's datum, which hosted code refers to where it is.
    const absl::StatusOr<CodeAddress> address = session.Lookup(name);
    if (address.ok()) symbols.push_back({std::move(name), *address});
  }
  if (symbols.empty()) return absl::OkStatus();
  return SymbolLibrary::Open(symbols, /*stays=*/true).status();
}

bool IsShownToLibraries(const std::string& name) {
  return shown_names == nullptr || shown_names->contains(name);
}

}  // namespace mend
