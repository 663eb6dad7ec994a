// What a debugger gets to see of a linked object. tests/integration/debugger_test.sh shows that gdb
// understands it; here it is read with LLVM, and made of damaged objects.
#include "jit/debug/debug_object.h"

#include <cstdlib>
#include <map>
#include <random>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "llvm/DebugInfo/DWARF/DWARFContext.h"
#include "llvm/Object/ELFObjectFile.h"
#include "tests/jit/test_objects.h"

namespace mend::jit {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Not;

constexpr uintptr_t kKeptAddress = 0x7000'1230;
constexpr uintptr_t kDatumAddress = 0x7000'9000;

constexpr char kSource[] =
    "static int datum = 3;\n"
    "int kept(int n) { return n + datum++; }\n"
    "int dropped(int n) { return n * 2; }\n";

llvm::object::ELFObjectFile<llvm::object::ELF64LE> Parse(const std::string& file) {
  auto parsed = llvm::object::ELFObjectFile<llvm::object::ELF64LE>::create(
      llvm::MemoryBufferRef(file, "file"));
  EXPECT_TRUE(static_cast<bool>(parsed));
  return std::move(*parsed);
}

uint32_t SectionNumber(const std::string& object, const std::string& name) {
  const auto parsed = Parse(object);
  for (const llvm::object::SectionRef section : parsed.sections()) {
    if (section.getName().get() == name) return static_cast<uint32_t>(section.getIndex());
  }
  ADD_FAILURE() << "no section " << name;
  return 0;
}

// `object`, of which the function `kept` was linked, and `datum` is the running program's.
LinkedObject LinkKept(const std::string& object) {
  LinkedObject linked;
  linked.object = object;
  linked.sections[SectionNumber(object, ".text.kept")] = kKeptAddress;
  return linked;
}

// Value and size of each symbol.
std::map<std::string, std::pair<uint64_t, uint64_t>> Symbols(const std::string& file) {
  std::map<std::string, std::pair<uint64_t, uint64_t>> symbols;
  const auto parsed = Parse(file);
  for (const llvm::object::ELFSymbolRef symbol : parsed.symbols()) {
    symbols[symbol.getName()->str()] = {*symbol.getAddress(), symbol.getSize()};
  }
  return symbols;
}

// The functions that have code, by the debug information, with where it begins.
std::map<std::string, uint64_t> DescribedFunctions(const std::string& file) {
  std::map<std::string, uint64_t> functions;
  const auto parsed = Parse(file);
  const auto context = llvm::DWARFContext::create(parsed);
  for (const auto& unit : context->compile_units()) {
    for (const auto& entry : unit->dies()) {
      const llvm::DWARFDie die(unit.get(), &entry);
      if (die.getTag() != llvm::dwarf::DW_TAG_subprogram) continue;
      const auto begin = llvm::dwarf::toAddress(die.find(llvm::dwarf::DW_AT_low_pc));
      if (begin.value_or(0) == 0) continue;
      const char* const name = die.getShortName();
      functions[name == nullptr ? "" : name] = *begin;
    }
  }
  return functions;
}

class DebugObjectTest : public testing::TestWithParam<const char*> {};

TEST_P(DebugObjectTest, HoldsWhatWasLinkedAndNothingElse) {
  const std::string object = Compile(kSource, false, GetParam());
  const auto file = MakeDebugObject(LinkKept(object), "");
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  const auto symbols = Symbols(*file);
  ASSERT_THAT(symbols, Contains(Key("kept")));
  EXPECT_EQ(symbols.at("kept").first, kKeptAddress);
  EXPECT_THAT(symbols, Not(Contains(Key("dropped"))));
  EXPECT_THAT(DescribedFunctions(*file), ElementsAre(testing::Pair("kept", kKeptAddress)));
  const auto parsed = Parse(*file);
  for (const llvm::object::SectionRef section : parsed.sections()) {
    EXPECT_EQ(section.relocation_begin(), section.relocation_end());
  }
}

TEST_P(DebugObjectTest, AVersionIsToldApartByNameInSymbolsAndDebugInformation) {
  const std::string object = Compile(kSource, false, GetParam());
  const auto file = MakeDebugObject(LinkKept(object), "fix");
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  const auto symbols = Symbols(*file);
  EXPECT_THAT(symbols, Contains(Key("kept@fix")));
  EXPECT_THAT(symbols, Contains(Key("kept"))) << "breakpoints by name need it";
  EXPECT_THAT(DescribedFunctions(*file), ElementsAre(testing::Pair("kept@fix", kKeptAddress)));
}

TEST_P(DebugObjectTest, ADatumOfTheRunningProgramIsDescribedWhereItIs) {
  const std::string object = Compile(kSource, false, GetParam());
  LinkedObject linked = LinkKept(object);
  const auto holds_address = [&linked] {
    const auto file = MakeDebugObject(linked, "");
    if (!file.ok()) return false;
    const uintptr_t address = kDatumAddress;
    return file->find(std::string(reinterpret_cast<const char*>(&address), sizeof(address))) !=
           std::string::npos;
  };
  EXPECT_FALSE(holds_address());
  linked.elsewhere[SectionNumber(object, ".data.datum")] = kDatumAddress;
  EXPECT_TRUE(holds_address());
}

INSTANTIATE_TEST_SUITE_P(Formats, DebugObjectTest,
                         testing::Values("-g -gdwarf-5", "-g -gdwarf-4", "-O0 -g"));

TEST(DebugObjectWithoutLinesTest, AFunctionIsItsBodySoThatBreakpointsLeaveTheEntryAlone) {
  const std::string object = Compile(kSource);
  LinkedObject linked = LinkKept(object);
  const auto whole = MakeDebugObject(linked, "");
  ASSERT_TRUE(whole.ok());
  const uint64_t size = Symbols(*whole).at("kept").second;
  EXPECT_EQ(Symbols(*whole).at("kept").first, kKeptAddress);
  linked.functions.push_back(
      {"kept", {CodeAddress{kKeptAddress}, CodeAddress{kKeptAddress} + size}, true});
  const auto body = MakeDebugObject(linked, "");
  ASSERT_TRUE(body.ok());
  EXPECT_EQ(Symbols(*body).at("kept"),
            std::make_pair(uint64_t{kKeptAddress + kEntryStubSize}, size - kEntryStubSize));
  EXPECT_THAT(DescribedFunctions(*body), IsEmpty());
}

TEST(DebugObjectNamesTest, ACplusplusFunctionIsNamedWithItsScope) {
  const std::string object = Compile(
      "namespace shop { struct Cart { int price(int); int items; };"
      "int Cart::price(int each) { return items * each; } }",
      true, "-g");
  LinkedObject linked;
  linked.object = object;
  linked.sections[SectionNumber(object, ".text._ZN4shop4Cart5priceEi")] = kKeptAddress;
  const auto file = MakeDebugObject(linked, "fix");
  ASSERT_TRUE(file.ok());
  EXPECT_THAT(DescribedFunctions(*file), ElementsAre(testing::Pair("price@fix", kKeptAddress)));
  EXPECT_THAT(Symbols(*file), Contains(Key("_ZN4shop4Cart5priceEi@fix")));
  EXPECT_EQ(file->find("_ZN4shop4Cart5priceEi@fix@fix"), std::string::npos);
}

TEST(DebugObjectNamesTest, WhatSharesItsNameWithAFunctionKeepsIt) {
  const std::string object =
      Compile("struct kept { int kept; }; int kept(struct kept* k) { return k->kept; }", false,
              "-g -gdwarf-5");
  const auto file = MakeDebugObject(LinkKept(object), "fix");
  ASSERT_TRUE(file.ok());
  const auto parsed = Parse(*file);
  const auto context = llvm::DWARFContext::create(parsed);
  for (const auto& unit : context->compile_units()) {
    for (const auto& entry : unit->dies()) {
      const llvm::DWARFDie die(unit.get(), &entry);
      if (die.getTag() != llvm::dwarf::DW_TAG_structure_type) continue;
      EXPECT_STREQ(die.getShortName(), "kept");
    }
  }
}

TEST(DebugObjectDamageTest, NoDamagedObjectDoesHarm) {
  const char* const given = std::getenv("MEND_TEST_SEED");
  const unsigned seed =
      given != nullptr ? static_cast<unsigned>(std::atoi(given)) : std::random_device()();
  SCOPED_TRACE(testing::Message() << "MEND_TEST_SEED=" << seed);
  std::mt19937 random(seed);
  size_t made = 0;
  size_t refused = 0;
  for (const char* flags : {"-g -gdwarf-5", "-g -gdwarf-4"}) {
    const std::string object = Compile(kSource, false, flags);
    const LinkedObject linked = LinkKept(object);
    for (int i = 0; i < 2000; ++i) {
      std::string damaged = object;
      if (i % 4 == 0) damaged.resize(random() % damaged.size());
      for (int flips = 0; flips < 1 + i % 8 && !damaged.empty(); ++flips) {
        damaged[random() % damaged.size()] ^= static_cast<char>(1u << random() % 8);
      }
      // In memory of its own, so that a read beyond its end is seen.
      const std::unique_ptr<char[]> copy(new char[damaged.size()]);
      std::copy(damaged.begin(), damaged.end(), copy.get());
      LinkedObject broken = linked;
      broken.object = std::string_view(copy.get(), damaged.size());
      MakeDebugObject(broken, i % 2 == 0 ? "fix" : "").ok() ? ++made : ++refused;
    }
  }
  EXPECT_GT(made, 0u);
  EXPECT_GT(refused, 0u);
}

}  // namespace
}  // namespace mend::jit
