#include "tests/runtime/transition/core_fixture.h"

#include <linux/membarrier.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "runtime/base/check.h"
#include "runtime/base/errno_status.h"
#include "runtime/base/failpoint.h"
#include "runtime/base/raw_syscall.h"
#include "runtime/safepoint/blocked_region.h"
#include "runtime/safepoint/safepoint_poll.h"
#include "runtime/safepoint/thread_registry.h"
#include "runtime/safepoint/unwind_table.h"

namespace mend::testing {
namespace {

constexpr uintptr_t kPage = 4096;

uintptr_t PageOf(uintptr_t address) { return address & ~(kPage - 1); }

void Protect(CodeRange range, int protection) {
  const uintptr_t begin = PageOf(range.begin.value);
  const uintptr_t end = PageOf(range.end.value - 1) + kPage;
  MEND_CHECK(mprotect(reinterpret_cast<void*>(begin), end - begin, protection) == 0,
             "mprotect failed");
}

void SyncCores() {
  static const bool registered =
      RawSyscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE) == 0;
  if (registered) RawSyscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE);
}

// One aligned store. Not ThreadSanitizer's business: it keeps no state of text, and takes a write
// to it for one to read-only data.
__attribute__((disable_sanitizer_instrumentation)) void StoreEntry(CodeAddress entry,
                                                                   uint64_t bytes) {
  __atomic_store_n(reinterpret_cast<uint64_t*>(entry.value), bytes, __ATOMIC_SEQ_CST);
}

// Slots are part of the test program's image, hence in reach of its entries. They outlive every
// host: an entry that a failpoint left open jumps through its slot for ever.
uintptr_t slots[256];
std::map<CodeAddress, uintptr_t*>& SlotMap() {
  static auto& map = *new std::map<CodeAddress, uintptr_t*>;
  return map;
}

}  // namespace

void Poll() {
  if (tls_thread_words.poll.load(std::memory_order_relaxed) != 0) __mend_poll_slow();
}

absl::StatusOr<CodeRange> FakeCodeHost::AllocateText(size_t bytes) {
  const size_t size = (bytes + kPage - 1) & ~(kPage - 1);
  // The next hole below the program.
  static uintptr_t hint = PageOf(reinterpret_cast<uintptr_t>(&slots)) - (uintptr_t{64} << 20);
  hint -= size;
  void* const text = mmap(reinterpret_cast<void*>(hint), size, PROT_READ | PROT_WRITE | PROT_EXEC,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (text == MAP_FAILED) return absl::ResourceExhaustedError("ENOMEM: no text");
  memset(text, 0xcc, size);
  const CodeAddress begin{reinterpret_cast<uintptr_t>(text)};
  const CodeRange range{begin, begin + bytes};
  UnwindTable::Get().AddStubRegion(range);
  ++live_texts_;
  return range;
}

void FakeCodeHost::ReleaseText(CodeRange range) {
  UnwindTable::Get().RemoveRegion(range);
  // Unmapped: a thread that is still in there crashes, which is what a test wants.
  munmap(reinterpret_cast<void*>(range.begin.value), (range.size() + kPage - 1) & ~(kPage - 1));
  --live_texts_;
}

absl::Status FakeCodeHost::WriteText(absl::Span<const TextWrite> writes) {
  for (const TextWrite& write : writes) {
    memcpy(reinterpret_cast<void*>(write.address.value), write.bytes.data(), write.bytes.size());
  }
  SyncCores();
  return absl::OkStatus();
}

absl::Status FakeCodeHost::WriteEntries(absl::Span<const EntryWrite> writes) {
  ++entry_batches_;
  for (const EntryWrite& write : writes) {
    const CodeRange stub{write.entry, write.entry + kEntryStubSize};
    Protect(stub, PROT_READ | PROT_WRITE | PROT_EXEC);
    StoreEntry(write.entry, write.bytes);
    Protect(stub, PROT_READ | PROT_EXEC);
  }
  SyncCores();
  return absl::OkStatus();
}

uintptr_t* FakeCodeHost::SlotOf(const NativeFunction& function) {
  auto& map = SlotMap();
  const auto [at, is_new] = map.insert({function.text.begin, &slots[map.size()]});
  if (is_new) *at->second = function.text.begin.value + kEntryStubSize;
  return at->second;
}

absl::StatusOr<std::unique_ptr<Patch>> FakeLoader::Load(const PatchModule&) {
  return absl::UnimplementedError("tests make their patches themselves");
}

absl::StatusOr<FunctionSite> FakeLoader::FindFunction(const std::string& request) const {
  for (const auto& [object, sites] : symbols_) {
    for (const FunctionSite& site : sites) {
      if (absl::StrCat(object, ":", site.name, ",", site.sympos) == request) return site;
    }
  }
  return absl::NotFoundError(absl::StrCat("ENOENT: there is no function ", request));
}

std::vector<FunctionSite> FakeLoader::SitesOf(
    const std::map<std::string, std::vector<std::string>>& names, const std::string& module) const {
  std::vector<FunctionSite> sites;
  const auto named = names.find(module);
  if (named == names.end()) return sites;
  for (const std::string& name : named->second) {
    absl::StatusOr<FunctionSite> site = FindFunction(absl::StrCat(module, ":", name, ",1"));
    MEND_CHECK(site.ok(), "the module has no such function");
    sites.push_back(*std::move(site));
  }
  return sites;
}

absl::Status FakeLoader::ResolveObject(Patch* patch, PatchObject* object) {
  const std::vector<FunctionSite>& sites = symbols_[object->name];
  for (PatchFunction& function : object->functions) {
    FunctionSite& old = function.old;
    if (!old.entry.is_null()) continue;
    const FunctionSite* found = nullptr;
    unsigned count = 0;
    for (const FunctionSite& site : sites) {
      if (site.name == old.name && (++count == old.sympos || old.sympos == 0)) found = &site;
    }
    if (count == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("EINVAL: symbol '", old.name, "' not found in symbol table"));
    }
    if (old.sympos == 0 && count > 1) {
      return absl::InvalidArgumentError(absl::StrCat("EINVAL: unresolvable ambiguity for symbol '",
                                                     old.name, "' in object '", object->name, "'"));
    }
    if (found == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("EINVAL: symbol position ", old.sympos,
                                                     " for symbol '", old.name, "' in object '",
                                                     object->name, "' not found"));
    }
    const unsigned requested = old.sympos;
    old = *found;
    old.sympos = requested;
    if (!function.links_late) continue;
    const auto& [text, added_text] = late_[old.name];
    function.new_body = text.begin;
    function.new_text = text;
    object->added_text.insert(object->added_text.end(), added_text.begin(), added_text.end());
    object->held = SitesOf(late_units, object->name);
  }
  const auto replaced = replaces_added.find(patch->name);
  if (replaced != replaces_added.end() && replaced->second.old.object == object->name) {
    const auto nops = std::find_if(object->functions.begin(), object->functions.end(),
                                   [](const PatchFunction& function) { return function.nop; });
    object->functions.insert(nops, replaced->second);
  }
  return absl::OkStatus();
}

void FakeLoader::ForgetObject(Patch* patch, PatchObject* object) {
  forgotten_.push_back(absl::StrCat(patch->name, "/", object->name));
}

std::string FakeLoader::Describe(CodeAddress pc) const {
  const MutexLock lock(&mu_);
  for (const auto& [begin, function] : known_) {
    if (function.text.Contains(pc)) return function.name;
  }
  return "";
}

void FakeLoader::Know(const NativeFunction& function) {
  const MutexLock lock(&mu_);
  known_.insert({function.text.begin, function});
}

ProgramThread::ProgramThread(std::function<void()> body) : body_(std::move(body)) {
  record_ = ThreadRegistry::Get().PrepareChild();
  MEND_CHECK(pthread_create(&thread_, nullptr, Run, this) == 0, "pthread_create failed");
}

void* ProgramThread::Run(void* self) {
  ProgramThread& thread = *static_cast<ProgramThread*>(self);
  ThreadRegistry::Get().BeginThread(thread.record_);
  thread.body_();
  ThreadRegistry::Get().EndThread();
  return nullptr;
}

void ProgramThread::Join() {
  if (joined_) return;
  joined_ = true;
  const BlockedRegion region("pthread_join");
  pthread_join(thread_, nullptr);
}

std::string ExactName(const std::string& name) {
  return name.find('~') == std::string::npos ? name + "~1" : name;
}

void Gate::Open() {
  open_.store(1);
  FutexWake(&open_, 1 << 20);
}

void Gate::Await(bool in_blocked_region) {
  waiting_.fetch_add(1);
  if (in_blocked_region) {
    const BlockedRegion region("Gate::Await");
    while (open_.load() == 0) FutexWait(&open_, 0, 1'000'000'000);
  } else {
    while (open_.load() == 0) FutexWait(&open_, 0, 1'000'000'000);
  }
  waiting_.fetch_sub(1);
}

void Gate::AwaitWaiter() const {
  while (!waited_for()) sched_yield();
}

void CoreTest::SetUp() {
  failpoint::DisarmAll();
  if (ThreadRegistry::CurrentRecord() == nullptr) ThreadRegistry::Get().RegisterMainThread();
}

void CoreTest::TearDown() {
  failpoint::DisarmAll();
  if (registry_ == nullptr) return;
  // The functions are the same for all tests: put the originals back.
  EXPECT_TRUE(registry_->Wait(absl::Seconds(20)).ok());
  for (const PatchStatus& patch : registry_->Status().patches) {
    if (!patch.enabled) continue;
    EXPECT_TRUE(registry_->Disable(ExactName(patch.name)).ok());
    EXPECT_TRUE(registry_->Wait(absl::Seconds(20)).ok());
  }
  registry_.reset();
  for (const auto& [entry, slot] : SlotMap()) {
    EXPECT_EQ(*slot, entry.value + kEntryStubSize) << "a test left a patch behind";
  }
}

PatchRegistry& CoreTest::registry() {
  if (registry_ == nullptr) {
    auto made = PatchRegistry::Create(&host_, &loader_, &events_, options_);
    MEND_CHECK(made.ok(), "no registry");
    registry_ = *std::move(made);
  }
  return *registry_;
}

FunctionSite CoreTest::SiteOf(const NativeFunction& function) {
  FunctionSite site;
  site.name = function.name;
  site.unit = "test";
  site.entry = function.text.begin;
  site.size = function.text.size();
  site.slot = host_.SlotOf(function);
  return site;
}

std::unique_ptr<Patch> CoreTest::MakePatch(const std::string& name, bool replace,
                                           const std::vector<Replacement>& replacements,
                                           const std::vector<NativeFunction>& held) {
  auto patch = std::make_unique<Patch>();
  patch->name = name;
  patch->content_hash = absl::StrCat("content ", ++contents_);
  patch->replace = replace;
  PatchObject object;
  for (const Replacement& replacement : replacements) {
    PatchFunction function;
    function.old = SiteOf(replacement.old_function);
    function.new_body = replacement.new_function.text.begin;
    function.new_text = replacement.new_function.text;
    object.functions.push_back(std::move(function));
    loader_.Know(replacement.old_function);
    loader_.Know(replacement.new_function);
  }
  patch->objects.push_back(std::move(object));
  for (const NativeFunction& function : held) {
    patch->held.push_back(SiteOf(function));
    loader_.Know(function);
  }
  return patch;
}

std::vector<std::string> CoreTest::Lines() {
  std::vector<std::string> lines;
  for (const Event& event : events_.ReadAfter(lines_read_, absl::ZeroDuration())) {
    lines_read_ = event.seq;
    if (event.text.empty()) continue;
    std::string line = event.text;
    while (!line.empty() && line.back() == '\n') line.pop_back();
    lines.emplace_back(absl::StripPrefix(line, "livepatch: "));
  }
  return lines;
}

std::vector<std::string> CoreTest::Kinds(const std::string& patch) {
  std::vector<std::string> kinds;
  for (const Event& event : events_.ReadAfter(0, absl::ZeroDuration())) {
    if (event.patch == patch) kinds.push_back(event.kind);
  }
  return kinds;
}

bool CoreTest::EntryOpen(const NativeFunction& function) const {
  return *reinterpret_cast<const uint16_t*>(function.text.begin.value) == 0x25ff;
}

int ErrnoOfStatus(const absl::Status& status) { return status.ok() ? 0 : ErrnoOf(status).error; }

void CoreTest::Enable(std::unique_ptr<Patch> patch) {
  const auto name = registry().Enable(std::move(patch));
  ASSERT_TRUE(name.ok()) << name.status();
}

void CoreTest::Settle() {
  const absl::Status done = registry().Wait(kSoon);
  ASSERT_TRUE(done.ok()) << done;
}

std::string CoreTest::AwaitReason(std::string_view wanted) {
  const absl::Time deadline = absl::Now() + kSoon;
  std::string reason;
  while (reason.find(wanted) == std::string::npos && absl::Now() < deadline) {
    const absl::Status waited = registry().Wait(kNotYet);
    reason = std::string(waited.message());
    if (waited.ok()) break;
  }
  return reason;
}

void CoreTest::EnableAndWait(std::unique_ptr<Patch> patch) {
  ASSERT_NO_FATAL_FAILURE(Enable(std::move(patch)));
  Settle();
}

void CoreTest::DisableAndWait(const std::string& name) {
  ASSERT_TRUE(registry().Disable(name).ok());
  Settle();
}

}  // namespace mend::testing
