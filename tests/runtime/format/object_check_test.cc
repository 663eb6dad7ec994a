// Objects that are damaged where linking them would rely on it. The object here is made by hand:
// one section of text with a relocation, a symbol, a section without contents.
#include "runtime/format/object_check.h"

#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace mend {
namespace {

using ::testing::HasSubstr;

constexpr char kNames[] = "\0.text\0.bss";

struct Object {
  enum Index { kNull, kText, kBss, kRelocations, kSymbols, kStrings, kCount };

  Elf64_Ehdr header = {};
  std::vector<Elf64_Shdr> sections = std::vector<Elf64_Shdr>(kCount);
  Elf64_Rela relocation = {};
  Elf64_Sym symbols[2] = {};

  Object() {
    header.e_shentsize = sizeof(Elf64_Shdr);
    header.e_shnum = kCount;
    header.e_shstrndx = kStrings;
    sections[kText] = {
        .sh_name = 1, .sh_type = SHT_PROGBITS, .sh_flags = SHF_ALLOC | SHF_EXECINSTR};
    sections[kText].sh_size = 16;
    sections[kBss] = {.sh_name = 7, .sh_type = SHT_NOBITS, .sh_flags = SHF_ALLOC | SHF_WRITE};
    sections[kBss].sh_size = 4096;
    sections[kRelocations].sh_type = SHT_RELA;
    sections[kRelocations].sh_info = kText;
    sections[kSymbols].sh_type = SHT_SYMTAB;
    sections[kStrings].sh_type = SHT_STRTAB;
    relocation.r_offset = 12;
    relocation.r_info = ELF64_R_INFO(1, R_X86_64_PC32);
    symbols[1].st_shndx = kText;
    symbols[1].st_size = 16;
  }

  std::string Bytes() {
    std::string bytes(sizeof header, '\0');
    const auto add = [&bytes](Elf64_Shdr& section, const void* data, size_t size) {
      section.sh_offset = bytes.size();
      if (section.sh_size == 0) section.sh_size = size;
      bytes.append(static_cast<const char*>(data), size);
    };
    add(sections[kText], "0123456789abcdef", 16);
    add(sections[kRelocations], &relocation, sizeof relocation);
    add(sections[kSymbols], symbols, sizeof symbols);
    add(sections[kStrings], kNames, sizeof kNames);
    header.e_shoff = bytes.size();
    bytes.append(reinterpret_cast<const char*>(sections.data()),
                 sections.size() * sizeof(Elf64_Shdr));
    std::memcpy(bytes.data(), &header, sizeof header);
    return bytes;
  }

  std::string Problem() { return std::string(CheckObject(Bytes()).message()); }
};

TEST(ObjectCheckTest, WellFormedObjectPasses) {
  EXPECT_EQ(Object().Problem(), "");
  Object last;
  last.relocation = {16 - 8, ELF64_R_INFO(1, R_X86_64_64), 0};
  EXPECT_EQ(last.Problem(), "") << "the last place that there is";
}

TEST(ObjectCheckTest, EveryPrefixIsRefused) {
  const std::string bytes = Object().Bytes();
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(CheckObject(bytes.substr(0, size)).ok()) << size;
  }
}

TEST(ObjectCheckTest, RelocationMustBeInsideOfItsSection) {
  for (const uint64_t offset : {uint64_t{13}, uint64_t{16}, uint64_t{1} << 40, ~uint64_t{0}}) {
    Object object;
    object.relocation.r_offset = offset;
    EXPECT_THAT(object.Problem(), HasSubstr("'.text' does not have the place of its relocation 0"))
        << offset;
  }
  Object wide;
  wide.relocation = {9, ELF64_R_INFO(1, R_X86_64_64), 0};
  EXPECT_THAT(wide.Problem(), HasSubstr("relocation 0"));
  Object early;
  early.relocation = {2, ELF64_R_INFO(1, R_X86_64_REX_GOTPCRELX), 0};
  EXPECT_THAT(early.Problem(), HasSubstr("relocation 0")) << "the instruction begins outside";
}

TEST(ObjectCheckTest, RelocationNeedsContentsAndASymbol) {
  Object zeros;
  zeros.sections[Object::kRelocations].sh_info = Object::kBss;
  EXPECT_THAT(zeros.Problem(), HasSubstr("'.bss' has relocations, and no contents"));
  Object no_symbol;
  no_symbol.relocation.r_info = ELF64_R_INFO(2, R_X86_64_PC32);
  EXPECT_THAT(no_symbol.Problem(), HasSubstr("has no symbol for its relocation 0"));
  Object nowhere;
  nowhere.sections[Object::kRelocations].sh_info = 17;
  EXPECT_THAT(nowhere.Problem(), HasSubstr("relocates no section"));
}

// JITLink keeps the entries of its tables by name.
TEST(ObjectCheckTest, RelocationByATableNeedsAName) {
  for (const auto type : {R_X86_64_GOTPCREL, R_X86_64_REX_GOTPCRELX, R_X86_64_GOTTPOFF}) {
    Object object;
    object.relocation.r_info = ELF64_R_INFO(1, type);
    EXPECT_THAT(object.Problem(), HasSubstr("'.text' has no name for its relocation 0")) << type;
    object.sections[Object::kSymbols].sh_link = Object::kStrings;
    object.symbols[1].st_name = 1;
    EXPECT_EQ(object.Problem(), "") << type;
  }
  Object call;
  call.relocation.r_info = ELF64_R_INFO(1, R_X86_64_PLT32);
  EXPECT_EQ(call.Problem(), "") << "of what is here";
  call.relocation.r_info = ELF64_R_INFO(0, R_X86_64_PLT32);
  EXPECT_THAT(call.Problem(), HasSubstr("has no name for its relocation 0"));
  Object distance;
  distance.relocation = {8, ELF64_R_INFO(1, R_X86_64_GOTOFF64), 0};
  EXPECT_THAT(distance.Problem(), HasSubstr("has no table for its relocation 0"));
  Object undefined;
  undefined.symbols[1].st_shndx = SHN_UNDEF;
  EXPECT_THAT(undefined.Problem(), HasSubstr("symbol 1 is undefined, and has no name"));
}

TEST(ObjectCheckTest, SymbolMustBeInsideOfItsSection) {
  Object late;
  late.symbols[1].st_value = 17;
  EXPECT_THAT(late.Problem(), HasSubstr("ends before its symbol 1"));
  Object wraps;
  wraps.symbols[1].st_value = 8;
  wraps.symbols[1].st_size = ~uint64_t{0} - 4;
  EXPECT_THAT(wraps.Problem(), HasSubstr("ends before its symbol 1"));
  Object nowhere;
  nowhere.symbols[1].st_shndx = 99;
  EXPECT_THAT(nowhere.Problem(), HasSubstr("symbol 1 is in no section"));
}

TEST(ObjectCheckTest, SizesAndAlignmentsAreBounded) {
  Object large;
  large.sections[Object::kBss].sh_size = uint64_t{1} << 40;
  EXPECT_THAT(large.Problem(), HasSubstr("'.bss' has 1099511627776 bytes"));
  Object common;
  common.symbols[1].st_shndx = SHN_COMMON;
  common.symbols[1].st_size = uint64_t{1} << 40;
  EXPECT_THAT(common.Problem(), HasSubstr("'symbol 1' has 1099511627776 bytes"));
  Object odd;
  odd.sections[Object::kText].sh_addralign = 24;
  EXPECT_THAT(odd.Problem(), HasSubstr("an alignment of 24"));
  Object huge;
  huge.sections[Object::kBss].sh_addralign = uint64_t{1} << 32;
  EXPECT_THAT(huge.Problem(), HasSubstr("an alignment of 4294967296"));
  Object unloaded;
  unloaded.sections[Object::kBss].sh_flags = SHF_WRITE;
  EXPECT_THAT(unloaded.Problem(), HasSubstr("'.bss' has no contents, and is not loaded"));
}

}  // namespace
}  // namespace mend
