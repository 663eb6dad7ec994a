#include "jit/link/code_memory.h"

#include "runtime/base/failpoint.h"

#include <string.h>
#include <sys/mman.h>

#include "gtest/gtest.h"
#include "jit/link/entry_stubs.h"

namespace mend::jit {
namespace {

TEST(CodeMemoryTest, SealedTextRunsAndTakesNoPlainWrites) {
  auto memory = CodeMemory::Create();
  ASSERT_TRUE(memory.ok());
  auto text = (*memory)->Allocate(MemoryKind::kText, 16, 16);
  ASSERT_TRUE(text.ok());
  const uint8_t code[] = {0xb8, 7, 0, 0, 0, 0xc3};  // mov $7,%eax; ret
  memcpy(reinterpret_cast<void*>(*text), code, sizeof(code));
  ASSERT_TRUE((*memory)->Seal().ok());
  EXPECT_EQ(reinterpret_cast<int (*)()>(*text)(), 7);
  EXPECT_DEATH(*reinterpret_cast<volatile char*>(*text) = 0, "");
}

TEST(CodeMemoryTest, EntryIsOpenedThroughItsSlotAndClosedAgain) {
  auto memory = CodeMemory::Create();
  ASSERT_TRUE(memory.ok());
  auto text = (*memory)->Allocate(MemoryKind::kText, 64, 16);
  auto slot = (*memory)->Allocate(MemoryKind::kData, 8, 8);
  ASSERT_TRUE(text.ok() && slot.ok());
  const CodeAddress entry{*text};
  memcpy(reinterpret_cast<void*>(*text), &kClosedEntry, 8);
  const uint8_t old_body[] = {0xb8, 1, 0, 0, 0, 0xc3};
  const uint8_t new_body[] = {0xb8, 2, 0, 0, 0, 0xc3};
  memcpy(reinterpret_cast<void*>(*text + 8), old_body, sizeof(old_body));
  memcpy(reinterpret_cast<void*>(*text + 32), new_body, sizeof(new_body));
  ASSERT_TRUE((*memory)->Seal().ok());
  auto* function = reinterpret_cast<int (*)()>(*text);
  auto* word = reinterpret_cast<uintptr_t*>(*slot);
  *word = *text + 32;
  EXPECT_EQ(function(), 1);
  const EntryWrite open[] = {{entry, OpenEntry(entry, word)}};
  ASSERT_TRUE((*memory)->WriteEntries(open).ok());
  EXPECT_EQ(function(), 2);
  const EntryWrite close[] = {{entry, kClosedEntry}};
  ASSERT_TRUE((*memory)->WriteEntries(close).ok());
  EXPECT_EQ(function(), 1);
}

TEST(CodeMemoryTest, AlignmentOfMoreThanAPageIsThatOfTheAddress) {
  constexpr uintptr_t kPage = 4096;
  constexpr size_t kAlignment = size_t{2} << 20;
  for (uintptr_t page = 1; page < 4; ++page) {
    // Where the kernel has room, the areas begin an odd number of pages away from an aligned place.
    auto memory = CodeMemory::Create((uintptr_t{1} << 45) + page * kPage);
    ASSERT_TRUE(memory.ok());
    for (const MemoryKind kind : {MemoryKind::kText, MemoryKind::kConstant, MemoryKind::kData}) {
      ASSERT_TRUE((*memory)->Allocate(kind, 100, 16).ok());
      const auto aligned = (*memory)->Allocate(kind, 100, kAlignment);
      ASSERT_TRUE(aligned.ok());
      EXPECT_EQ(0u, *aligned % kAlignment);
    }
  }
}

// Collectors of garbage read all of it: what is told must be mapped, and writable data must be
// told.
TEST(CodeMemoryTest, RangesAreWhatIsInUse) {
  auto memory = CodeMemory::Create();
  ASSERT_TRUE(memory.ok());
  const auto covering = [&memory](uintptr_t address) {
    int found = -1;
    (*memory)->ForEachRange([&](const MemoryRange& range) {
      if (address >= range.begin && address < range.end) found = range.protection;
    });
    return found;
  };
  auto text = (*memory)->Allocate(MemoryKind::kText, 100, 16);
  auto constant = (*memory)->Allocate(MemoryKind::kConstant, 100, 16);
  auto data = (*memory)->Allocate(MemoryKind::kData, 100, 16);
  ASSERT_TRUE(text.ok() && constant.ok() && data.ok() && (*memory)->Seal().ok());
  EXPECT_EQ(covering(*text + 99), PROT_READ | PROT_EXEC);
  EXPECT_EQ(covering(*constant + 99), PROT_READ);
  EXPECT_EQ(covering(*data + 99), PROT_READ | PROT_WRITE);
  EXPECT_EQ(covering(*data + 100), -1);
  auto module_data = (*memory)->AllocateModule(0, 100);
  auto module_constants = (*memory)->AllocateModule(0, 100);
  auto patch = (*memory)->AllocateModule(100, 100);
  ASSERT_TRUE(module_data.ok() && module_constants.ok() && patch.ok());
  ASSERT_TRUE((*memory)->ProtectModule(*module_constants).ok());
  ASSERT_TRUE((*memory)->ProtectModule(*patch).ok());
  EXPECT_EQ(covering(module_data->rest), PROT_READ | PROT_WRITE);
  EXPECT_EQ(covering(module_constants->rest), -1);
  EXPECT_EQ(covering(patch->text), -1);
  EXPECT_EQ(covering(patch->rest), -1);
  (*memory)->FreeModule(*module_data);
  EXPECT_EQ(covering(module_data->rest), -1);
}

TEST(CodeMemoryTest, ModulePagesAndTrampolinesAreReused) {
  auto memory = CodeMemory::Create();
  ASSERT_TRUE(memory.ok());
  uintptr_t first = 0;
  for (int i = 0; i < 1000; ++i) {
    auto pages = (*memory)->AllocateModule(5000, 100);
    ASSERT_TRUE(pages.ok());
    EXPECT_EQ(*reinterpret_cast<uint8_t*>(pages->text), 0xcc);
    EXPECT_EQ(*reinterpret_cast<uint8_t*>(pages->rest), 0);
    *reinterpret_cast<uint8_t*>(pages->rest) = 1;
    ASSERT_TRUE((*memory)->ProtectModule(*pages).ok());
    auto range = (*memory)->AllocateText(20);
    ASSERT_TRUE(range.ok());
    EXPECT_EQ(range->size(), 32u);
    if (i == 0) first = pages->text;
    EXPECT_EQ(pages->text, first);
    (*memory)->ReleaseText(*range);
    (*memory)->FreeModule(*pages);
  }
  EXPECT_LE((*memory)->module_bytes(), 64u * 1024);
}

TEST(CodeMemoryTest, RollbackGivesZeroedMemoryBack) {
  auto memory = CodeMemory::Create();
  ASSERT_TRUE(memory.ok());
  const CodeMemory::Mark mark = (*memory)->Position();
  auto before = (*memory)->Allocate(MemoryKind::kData, 100, 8);
  ASSERT_TRUE(before.ok());
  memset(reinterpret_cast<void*>(*before), 0x55, 100);
  (*memory)->Rollback(mark);
  auto after = (*memory)->Allocate(MemoryKind::kData, 100, 8);
  ASSERT_TRUE(after.ok());
  EXPECT_EQ(*after, *before);
  EXPECT_EQ(*reinterpret_cast<char*>(*after), 0);
}

#ifdef MEND_FAILPOINTS
TEST(CodeMemoryTest, SealThatFailsHalfWayCanBeRolledBack) {
  auto memory = CodeMemory::Create();
  ASSERT_TRUE(memory.ok());
  const CodeMemory::Mark mark = (*memory)->Position();
  ASSERT_TRUE((*memory)->Allocate(MemoryKind::kText, 100, 16).ok());
  ASSERT_TRUE((*memory)->Allocate(MemoryKind::kConstant, 100, 16).ok());
  ASSERT_TRUE(failpoint::Arm("code_memory/protect", /*skip=*/1, /*times=*/1));
  EXPECT_FALSE((*memory)->Seal().ok());
  failpoint::DisarmAll();
  (*memory)->Rollback(mark);
  const auto again = (*memory)->Allocate(MemoryKind::kText, 100, 16);
  ASSERT_TRUE(again.ok());
  *reinterpret_cast<uint8_t*>(*again) = 0xc3;  // writable
  EXPECT_TRUE((*memory)->Seal().ok());
}
#endif

TEST(CodeMemoryTest, TooMuchIsAnErrorAndChangesNothing) {
  auto memory = CodeMemory::Create();
  ASSERT_TRUE(memory.ok());
  const size_t used = (*memory)->permanent_bytes();
  EXPECT_FALSE((*memory)->Allocate(MemoryKind::kData, size_t{1} << 40, 8).ok());
  EXPECT_FALSE((*memory)->Allocate(MemoryKind::kData, ~size_t{0} - 16, 8).ok());
  EXPECT_EQ((*memory)->permanent_bytes(), used);
}

}  // namespace
}  // namespace mend::jit
