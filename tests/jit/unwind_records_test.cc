// Which functions unwind records are for, and that a section that cannot be read is an error.
#include "jit/link/unwind_records.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "llvm/ADT/BitmaskEnum.h"
#include "llvm/ExecutionEngine/JITLink/DWARFRecordSectionSplitter.h"
#include "llvm/ExecutionEngine/JITLink/x86_64.h"

namespace mend::jit {
namespace {

using llvm::jitlink::Block;
using llvm::jitlink::Edge;
using llvm::jitlink::LinkGraph;
using llvm::jitlink::Section;
using llvm::jitlink::Symbol;
using llvm::orc::ExecutorAddr;
using ::testing::HasSubstr;
namespace x86_64 = llvm::jitlink::x86_64;
LLVM_ENABLE_BITMASK_ENUMS_IN_NAMESPACE();

constexpr uint32_t kRecordSize = 24;

// A record of kRecordSize bytes; `distance` is 0 in a common one.
std::string Record(uint32_t distance, uint32_t length = kRecordSize - 4) {
  std::string record(kRecordSize, '\0');
  memcpy(record.data(), &length, sizeof(length));
  memcpy(record.data() + 4, &distance, sizeof(distance));
  return record;
}

class UnwindRecordsTest : public testing::Test {
 protected:
  UnwindRecordsTest()
      : graph_("unit.o", std::make_shared<llvm::orc::SymbolStringPool>(),
               llvm::Triple("x86_64-unknown-linux-gnu"), llvm::SubtargetFeatures(),
               x86_64::getEdgeKindName),
        text_(graph_.createSection(".text", llvm::orc::MemProt::Read | llvm::orc::MemProt::Exec)),
        unwind_(graph_.createSection(kUnwindSection, llvm::orc::MemProt::Read)) {}

  Symbol& AddFunction(const char* name) {
    static constexpr char kText[16] = {};
    Block& block = graph_.createContentBlock(text_, kText, ExecutorAddr(), 16, 0);
    return graph_.addDefinedSymbol(block, 0, name, sizeof(kText), llvm::jitlink::Linkage::Strong,
                                   llvm::jitlink::Scope::Default, true, false);
  }

  // The section's contents as they are in a file, split.
  Block& SetRecords(const std::string& records) {
    contents_ = records;
    return graph_.createContentBlock(
        unwind_, llvm::ArrayRef<char>(contents_.data(), contents_.size()), ExecutorAddr(), 8, 0);
  }

  std::string Connect() {
    if (llvm::Error error = llvm::jitlink::DWARFRecordSectionSplitter(kUnwindSection)(graph_)) {
      return llvm::toString(std::move(error));
    }
    if (llvm::Error error = ConnectUnwindRecords(graph_)) return llvm::toString(std::move(error));
    return "";
  }

  // The block of the record at `offset` of the contents.
  Block& RecordAt(size_t offset) {
    for (Block* const block : unwind_.blocks()) {
      if (block->getContent().data() == contents_.data() + offset) return *block;
    }
    std::abort();
  }

  std::string contents_;
  LinkGraph graph_;
  Section& text_;
  Section& unwind_;
};

TEST_F(UnwindRecordsTest, ARecordStaysWithItsFunctionAndKnowsItsCommonOne) {
  Symbol& first = AddFunction("first");
  Symbol& second = AddFunction("second");
  Block& whole = SetRecords(Record(0) + Record(kRecordSize + 4) + Record(2 * kRecordSize + 4) +
                            std::string(4, '\0'));
  whole.addEdge(x86_64::Delta32, kRecordSize + 8, first, 0);
  whole.addEdge(x86_64::Delta32, 2 * kRecordSize + 8, second, 0);
  ASSERT_EQ(Connect(), "");
  for (const auto& [function, offset] :
       {std::pair(&first, kRecordSize), std::pair(&second, 2 * kRecordSize)}) {
    size_t kept = 0;
    for (const Edge& edge : function->getBlock().edges()) {
      EXPECT_EQ(edge.getKind(), Edge::KeepAlive);
      EXPECT_EQ(&edge.getTarget().getBlock(), &RecordAt(offset));
      ++kept;
    }
    EXPECT_EQ(kept, 1U);
    size_t common = 0;
    for (const Edge& edge : RecordAt(offset).edges()) {
      if (edge.getOffset() != 4) continue;
      EXPECT_EQ(edge.getKind(), x86_64::NegDelta32);
      EXPECT_EQ(&edge.getTarget().getBlock(), &RecordAt(0));
      ++common;
    }
    EXPECT_EQ(common, 1U);
  }
}

TEST_F(UnwindRecordsTest, TheRecordOfAFunctionThatIsElsewhereIsKeptByNobody) {
  Symbol& elsewhere = graph_.addExternalSymbol("elsewhere", 0, false);
  Block& whole = SetRecords(Record(0) + Record(kRecordSize + 4));
  whole.addEdge(x86_64::Delta32, kRecordSize + 8, elsewhere, 0);
  EXPECT_EQ(Connect(), "");
}

TEST_F(UnwindRecordsTest, ARecordWithoutItsFunctionIsAnError) {
  SetRecords(Record(0) + Record(kRecordSize + 4));
  EXPECT_THAT(Connect(), HasSubstr("unit.o: an unwind record has no relocation for its function"));
}

TEST_F(UnwindRecordsTest, TheWideFormatIsAnError) {
  std::string wide(32, '\0');
  const uint32_t mark = 0xffffffff;
  const uint64_t length = wide.size() - sizeof(mark) - sizeof(length);
  memcpy(wide.data(), &mark, sizeof(mark));
  memcpy(wide.data() + sizeof(mark), &length, sizeof(length));
  SetRecords(wide);
  EXPECT_THAT(Connect(), HasSubstr("unit.o: an unwind record is of the 64-bit format"));
}

class DistanceTest : public UnwindRecordsTest, public testing::WithParamInterface<uint32_t> {};

TEST_P(DistanceTest, ARecordWithoutACommonOneIsAnError) {
  Block& whole = SetRecords(Record(0) + Record(GetParam()));
  whole.addEdge(x86_64::Delta32, kRecordSize + 8, AddFunction("f"), 0);
  EXPECT_THAT(Connect(), HasSubstr("unit.o: an unwind record refers to none that is common"));
}
// Into a record, to itself, before the section, and behind it.
INSTANTIATE_TEST_SUITE_P(Distances, DistanceTest,
                         testing::Values(kRecordSize, 4, 2 * kRecordSize, 0x7fffffff, 0xfffffff0));

}  // namespace
}  // namespace mend::jit
