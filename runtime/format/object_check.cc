#include "runtime/format/object_check.h"

#include <elf.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace mend {
namespace {

// What a 32-bit displacement reaches: no object that can be linked has more.
constexpr uint64_t kLoadedSizeMax = uint64_t{1} << 31;
// As large as a page can be that is no gigabyte's.
constexpr uint64_t kAlignmentMax = uint64_t{1} << 21;

// How many bytes a relocation writes, and how many before them its instruction has, at the least,
// if the linker looks at that.
struct Extent {
  uint64_t size = 0;
  uint64_t before = 0;
};

Extent ExtentOf(uint64_t type) {
  switch (type) {
    case R_X86_64_NONE:
      return {0, 0};
    case R_X86_64_8:
    case R_X86_64_PC8:
      return {1, 0};
    case R_X86_64_16:
    case R_X86_64_PC16:
      return {2, 0};
    case R_X86_64_64:
    case R_X86_64_PC64:
    case R_X86_64_GOT64:
    case R_X86_64_GOTOFF64:
    case R_X86_64_GOTPC64:
    case R_X86_64_GOTPCREL64:
    case R_X86_64_DTPOFF64:
    case R_X86_64_TPOFF64:
    case R_X86_64_SIZE64:
      return {8, 0};
    case R_X86_64_GOTPCRELX:
      return {4, 2};
    case R_X86_64_REX_GOTPCRELX:
      return {4, 3};
    default:
      return {4, 0};
  }
}

// Whether the linker makes an entry of a table for the symbol, by its name.
bool TakesEntry(uint64_t type) {
  switch (type) {
    case R_X86_64_GOT32:
    case R_X86_64_GOT64:
    case R_X86_64_GOTPCREL:
    case R_X86_64_GOTPCREL64:
    case R_X86_64_GOTPCRELX:
    case R_X86_64_REX_GOTPCRELX:
    case R_X86_64_GOTPLT64:
    case R_X86_64_GOTTPOFF:
    case R_X86_64_TLSGD:
    case R_X86_64_TLSLD:
    case R_X86_64_GOTPC32_TLSDESC:
      return true;
    default:
      return false;
  }
}

template <typename T>
T RowAt(std::string_view table, uint64_t index) {
  T row;
  std::memcpy(&row, table.data() + index * sizeof(T), sizeof(T));
  return row;
}

class Checker {
 public:
  explicit Checker(std::string_view object) : object_(object) {}

  absl::Status Check() {
    if (!ReadSections()) return status_;
    for (size_t i = 1; i < sections_.size() && status_.ok(); ++i) CheckSection(i);
    for (size_t i = 1; i < sections_.size() && status_.ok(); ++i) {
      if (sections_[i].sh_type == SHT_SYMTAB) CheckSymbols(sections_[i]);
    }
    for (size_t i = 1; i < sections_.size() && status_.ok(); ++i) {
      if (sections_[i].sh_type == SHT_RELA) CheckRelocations(sections_[i]);
    }
    return status_;
  }

 private:
  // Keeps the first.
  void Fail(std::string_view problem) {
    if (!status_.ok()) return;
    status_ = absl::InvalidArgumentError(absl::StrCat("damaged object: ", std::string(problem)));
  }
  void FailSection(const Elf64_Shdr& section, std::string_view problem) {
    Fail(absl::StrCat("section '", NameOf(section), "' ", std::string(problem)));
  }

  std::string_view Contents(const Elf64_Shdr& section) const {
    if (section.sh_type == SHT_NOBITS || section.sh_offset > object_.size() ||
        section.sh_size > object_.size() - section.sh_offset) {
      return {};
    }
    return object_.substr(section.sh_offset, section.sh_size);
  }

  // For messages.
  std::string NameOf(const Elf64_Shdr& section) const {
    if (section.sh_name >= names_.size()) return "";
    const std::string_view tail = names_.substr(section.sh_name);
    return std::string(tail.substr(0, tail.find('\0')));
  }

  bool ReadSections() {
    Elf64_Ehdr header = {};
    if (object_.size() < sizeof header) return Fail("it is cut off"), false;
    std::memcpy(&header, object_.data(), sizeof header);
    if (header.e_shentsize != sizeof(Elf64_Shdr) || header.e_shoff > object_.size() ||
        object_.size() - header.e_shoff < sizeof(Elf64_Shdr)) {
      return Fail("it has no sections"), false;
    }
    const std::string_view rows = object_.substr(header.e_shoff);
    // The gABI moves counts that do not fit into 16 bits to the first section header.
    const auto first = RowAt<Elf64_Shdr>(rows, 0);
    const uint64_t count = header.e_shnum != 0 ? header.e_shnum : first.sh_size;
    if (count > rows.size() / sizeof(Elf64_Shdr)) {
      return Fail("its section headers are cut off"), false;
    }
    for (uint64_t i = 0; i < count; ++i) sections_.push_back(RowAt<Elf64_Shdr>(rows, i));
    const uint64_t names = header.e_shstrndx != SHN_XINDEX ? header.e_shstrndx : first.sh_link;
    if (names < count) names_ = Contents(sections_[names]);
    return true;
  }

  void CheckSection(size_t index) {
    const Elf64_Shdr& section = sections_[index];
    if (section.sh_type != SHT_NOBITS && section.sh_size != 0 && Contents(section).empty()) {
      return FailSection(section, "is cut off");
    }
    const uint64_t alignment = section.sh_addralign;
    if ((alignment & (alignment - 1)) != 0 || alignment > kAlignmentMax) {
      return FailSection(section, absl::StrCat("has an alignment of ", alignment));
    }
    if ((section.sh_flags & SHF_ALLOC) == 0) {
      if (section.sh_type == SHT_NOBITS && section.sh_size != 0) {
        FailSection(section, "has no contents, and is not loaded");
      }
      return;
    }
    if (section.sh_addr != 0) return FailSection(section, "has an address");
    Load(section.sh_size, NameOf(section));
  }

  // Counts what is to be loaded.
  void Load(uint64_t size, std::string_view what) {
    if (size > kLoadedSizeMax - loaded_size_) {
      return Fail(absl::StrCat("'", std::string(what), "' has ", size, " bytes"));
    }
    loaded_size_ += size;
  }

  void CheckSymbols(const Elf64_Shdr& table) {
    symbols_ = Contents(table);
    symbol_count_ = symbols_.size() / sizeof(Elf64_Sym);
    if (table.sh_link < sections_.size()) symbol_names_ = Contents(sections_[table.sh_link]);
    for (uint64_t i = 0; i < symbol_count_ && status_.ok(); ++i) {
      const auto symbol = RowAt<Elf64_Sym>(symbols_, i);
      if (symbol.st_shndx == SHN_COMMON) {
        const uint64_t alignment = symbol.st_value;
        if ((alignment & (alignment - 1)) != 0 || alignment > kAlignmentMax) {
          Fail(absl::StrCat("symbol ", i, " has an alignment of ", alignment));
        }
        Load(symbol.st_size, absl::StrCat("symbol ", i));
      } else if (symbol.st_shndx == SHN_UNDEF) {
        if (i > 0 && !HasName(symbol)) {
          Fail(absl::StrCat("symbol ", i, " is undefined, and has no name"));
        }
        if (SymbolName(symbol) == "_GLOBAL_OFFSET_TABLE_") has_table_ = true;
      } else if (symbol.st_shndx < SHN_LORESERVE) {
        CheckDefinition(i, symbol);
      }
    }
  }

  std::string_view SymbolName(const Elf64_Sym& symbol) const {
    if (symbol.st_name >= symbol_names_.size()) return {};
    const std::string_view tail = symbol_names_.substr(symbol.st_name);
    return tail.substr(0, tail.find('\0'));
  }
  bool HasName(const Elf64_Sym& symbol) const { return !SymbolName(symbol).empty(); }

  void CheckDefinition(uint64_t index, const Elf64_Sym& symbol) {
    if (symbol.st_shndx >= sections_.size()) {
      return Fail(absl::StrCat("symbol ", index, " is in no section"));
    }
    const Elf64_Shdr& section = sections_[symbol.st_shndx];
    if (symbol.st_value > section.sh_size || symbol.st_size > section.sh_size - symbol.st_value) {
      FailSection(section, absl::StrCat("ends before its symbol ", index));
    }
  }

  void CheckRelocations(const Elf64_Shdr& table) {
    if (table.sh_info >= sections_.size()) {
      return FailSection(table, "relocates no section");
    }
    const Elf64_Shdr& section = sections_[table.sh_info];
    const std::string_view rows = Contents(table);
    if (section.sh_type == SHT_NOBITS && !rows.empty()) {
      return FailSection(section, "has relocations, and no contents");
    }
    for (uint64_t i = 0; i < rows.size() / sizeof(Elf64_Rela); ++i) {
      const auto relocation = RowAt<Elf64_Rela>(rows, i);
      const Extent extent = ExtentOf(ELF64_R_TYPE(relocation.r_info));
      if (relocation.r_offset > section.sh_size ||
          extent.size > section.sh_size - relocation.r_offset ||
          extent.before > relocation.r_offset) {
        return FailSection(section, absl::StrCat("does not have the place of its relocation ", i));
      }
      const uint64_t type = ELF64_R_TYPE(relocation.r_info);
      if (ELF64_R_SYM(relocation.r_info) >= symbol_count_) {
        return FailSection(section, absl::StrCat("has no symbol for its relocation ", i));
      }
      if ((type == R_X86_64_GOTOFF64 || type == R_X86_64_GOT64) && !has_table_) {
        return FailSection(section, absl::StrCat("has no table for its relocation ", i));
      }
      if (!TakesEntry(type) && type != R_X86_64_PLT32) continue;
      const auto symbol = RowAt<Elf64_Sym>(symbols_, ELF64_R_SYM(relocation.r_info));
      const bool is_here = symbol.st_shndx != SHN_UNDEF && symbol.st_shndx < SHN_LORESERVE;
      // A call of what is here needs no entry.
      if (!HasName(symbol) && (TakesEntry(type) || !is_here)) {
        return FailSection(section, absl::StrCat("has no name for its relocation ", i));
      }
    }
  }

  const std::string_view object_;
  std::vector<Elf64_Shdr> sections_;
  std::string_view names_;
  std::string_view symbols_;
  std::string_view symbol_names_;
  uint64_t symbol_count_ = 0;
  bool has_table_ = false;  // a symbol for the global offset table
  uint64_t loaded_size_ = 0;
  absl::Status status_;
};

}  // namespace

absl::Status CheckObject(std::string_view object) { return Checker(object).Check(); }

}  // namespace mend
