#include "tests/simulation/model_host.h"

#include <string.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "runtime/patch/redirection_table.h"
#include "tests/simulation/hosted_model.h"
#include "tests/simulation/model_callbacks.h"
#include "tests/simulation/scheduler.h"

namespace mend::simulation {
namespace {

constexpr size_t kTextBytes = 1 << 20;
constexpr size_t kBodyBytes = 64;
constexpr size_t kSlotsMax = 64;
constexpr const char* kNames[] = {"pair", "alpha", "beta", "gamma", "delta", "epsilon"};

// Real memory, so that slots are in reach and entries can be read; nothing here is ever executed.
alignas(64) constinit uint8_t text_memory[kTextBytes] = {};
constinit uintptr_t slots[kSlotsMax] = {};

Access WritesText(CodeAddress at) { return {.location = at.value, .size = 0, .writes = true}; }

Scheduler& Now() { return *Scheduler::Current(); }

CodeAddress TextAt(size_t offset) {
  return CodeAddress{reinterpret_cast<uintptr_t>(text_memory) + offset};
}

}  // namespace

// The text of a patch is freed with it.
class ModelText : public LinkedModule {
 public:
  ModelText(ModelHost* host, int version) : host_(host), version_(version) {}
  ~ModelText() override {
    if (Scheduler::Current() != nullptr && Now().guided()) {
      Now().Point({.location = Access::kBodies, .size = 0, .writes = true});
    }
    for (ModelHost::Version& version : host_->versions_) {
      if (version.number != version_ || version.goes_with_module) continue;
      version.freed = true;
      host_->freed_.push_back(version.text);
    }
  }
  uint64_t text_bytes() const override { return 3 * kBodyBytes; }
  uint64_t data_bytes() const override { return 0; }
  int version() const { return version_; }

 private:
  ModelHost* const host_;
  const int version_;
};

// --- text ---

ModelHost::ModelHost() {
  for (const Function function : {kPair, kAlpha, kBeta, kDelta}) MakeFunction(function);
}

void ModelHost::MakeFunction(Function function) {
  if (slots_used_ == kSlotsMax) Now().Violation("the simulation has no slot left");
  const CodeRange text = NewText(kBodyBytes);
  memcpy(reinterpret_cast<void*>(text.begin.value), &kClosedEntry, sizeof kClosedEntry);
  uintptr_t* const slot = &slots[slots_used_++];
  *slot = text.begin.value + kEntryStubSize;
  sites_[function] = {.object = function == kGamma || function == kEpsilon ? "mod" : "",
                      .unit = "model",
                      .name = kNames[function],
                      .sympos = 1,
                      .entry = text.begin,
                      .size = kBodyBytes,
                      .slot = slot};
  versions_.push_back({{text.begin + kEntryStubSize, text.end}, 0, false});
}

CodeRange ModelHost::NewText(size_t bytes) {
  const size_t begin = used_;
  used_ += (bytes + 63) / 64 * 64;
  if (used_ > kTextBytes) Now().Violation("the simulation has no text left");
  return {TextAt(begin), TextAt(begin + bytes)};
}

absl::StatusOr<CodeRange> ModelHost::AllocateText(size_t bytes) {
  const CodeRange range = NewText(bytes);
  memset(reinterpret_cast<void*>(range.begin.value), 0xcc, bytes);
  trampolines_.push_back(range);
  return range;
}

void ModelHost::ReleaseText(CodeRange range) {
  if (Now().guided()) {
    ++CurrentWorld()->era;
    Now().Point(WritesText(range.begin));
  }
  if (std::erase(trampolines_, range) != 1) Now().Violation("text is freed twice");
  freed_.push_back(range);
}

absl::Status ModelHost::WriteText(absl::Span<const TextWrite> writes) {
  for (const TextWrite& write : writes) {
    memcpy(reinterpret_cast<void*>(write.address.value), write.bytes.data(), write.bytes.size());
  }
  return absl::OkStatus();
}

absl::Status ModelHost::WriteEntries(absl::Span<const EntryWrite> writes) {
  for (const EntryWrite& write : writes) {
    Now().Point(WritesText(write.entry));
    memcpy(reinterpret_cast<void*>(write.entry.value), &write.bytes, sizeof write.bytes);
  }
  return absl::OkStatus();
}

// --- patches and the module ---

PatchObject ModelHost::MakeObject(const PatchPlan& plan, const char* name,
                                  const std::vector<Function>& functions) {
  PatchObject object;
  object.name = name;
  for (const Function function : functions) {
    PatchFunction replacement;
    if (function == kGamma) {
      replacement.old = {.object = name, .unit = "model", .name = kNames[function]};
    } else {
      replacement.old = sites_[function];
    }
    replacement.links_late = function == kGamma && plan.version % 2 == 1;
    if (replacement.links_late) {
      object.functions.push_back(std::move(replacement));
      continue;
    }
    replacement.new_text = NewText(kBodyBytes);
    replacement.new_body = replacement.new_text.begin;
    versions_.push_back({replacement.new_text, plan.version, false});
    object.functions.push_back(std::move(replacement));
  }
  if (plan.has_callbacks) object.callbacks = CallbacksOf(plan.version);
  return object;
}

std::unique_ptr<Patch> ModelHost::MakePatch(const PatchPlan& plan) {
  auto patch = std::make_unique<Patch>();
  patch->name = absl::StrCat("p", plan.version % 2);
  patch->content_hash = absl::StrCat("content ", plan.version);
  patch->replace = plan.replace;
  patch->replace_set = plan.set;
  const std::vector<Function> delta = {kDelta};
  const std::vector<Function> usual = {kAlpha, kBeta};
  patch->objects.push_back(MakeObject(plan, "", plan.replaces_delta ? delta : usual));
  if (plan.has_module && !plan.replaces_delta) {
    patch->objects.push_back(MakeObject(plan, "mod", {kGamma}));
  }
  for (const auto& [id, version] : plan.states) {
    records_.push_back({.id = id, .version = version, .data = nullptr});
    patch->states.push_back(
        {.id = id, .version = version, .record = &records_.back(), .owner = OwnerOf(id)});
  }
  patch->held.push_back(sites_[kPair]);
  patch->module = std::make_unique<ModelText>(this, plan.version);
  return patch;
}

mend_object* ModelHost::LinkModule() {
  MakeFunction(kGamma);
  MakeFunction(kEpsilon);
  modules_.push_back(std::make_unique<mend_object>());
  modules_.back()->name = "mod";
  return modules_.back().get();
}

CodeRange ModelHost::module_text() const {
  const FunctionSite& last = sites_[kEpsilon];
  return {sites_[kGamma].entry, last.entry + static_cast<size_t>(last.size)};
}

void ModelHost::FreeModule() {
  const CodeRange text = module_text();
  freed_.push_back(text);
  for (Version& version : versions_) {
    if (text.Contains(version.text.begin)) version.freed = true;
    if (!version.goes_with_module) continue;
    version.goes_with_module = false;
    version.freed = true;
    freed_.push_back(version.text);
  }
  sites_[kGamma] = {};
  sites_[kEpsilon] = {};
}

absl::StatusOr<std::unique_ptr<Patch>> ModelLoader::Load(const PatchModule&) {
  return absl::UnimplementedError("the simulation makes its patches itself");
}

absl::Status ModelLoader::ResolveObject(Patch* patch, PatchObject* object) {
  if (object->name.empty()) return absl::OkStatus();
  if (!host_->has_module()) Now().Violation("an object is resolved that is not there");
  const int version = static_cast<const ModelText*>(patch->module.get())->version();
  bool has_added = false;
  bool links = false;
  for (PatchFunction& function : object->functions) {
    has_added = has_added || (function.is_added && !function.nop);
    if (function.old.entry.is_null()) {
      if (function.old.name != kNames[kGamma]) Now().Violation("no symbol of the module");
      function.old = host_->Site(kGamma);
    }
    if (!function.links_late || !function.new_body.is_null()) continue;
    links = true;
    LinkLate(&function, version);
  }
  if (!links || has_added) return absl::OkStatus();
  PatchFunction epsilon;
  epsilon.old = host_->Site(kEpsilon);
  epsilon.links_late = true;
  epsilon.is_added = true;
  LinkLate(&epsilon, version);
  const auto nops = std::find_if(object->functions.begin(), object->functions.end(),
                                 [](const PatchFunction& function) { return function.nop; });
  object->functions.insert(nops, std::move(epsilon));
  return absl::OkStatus();
}

void ModelLoader::LinkLate(PatchFunction* function, int version) {
  function->new_text = host_->NewText(kBodyBytes);
  function->new_body = function->new_text.begin;
  host_->versions_.push_back({function->new_text, version, false});
}

void ModelLoader::ForgetObject(Patch*, PatchObject* object) {
  for (const PatchFunction& function : object->functions) {
    for (ModelHost::Version& version : host_->versions_) {
      const bool is_late = function.links_late && version.text == function.new_text;
      if (is_late && !version.freed) version.goes_with_module = true;
    }
  }
}

absl::StatusOr<FunctionSite> ModelLoader::FindFunction(const std::string&) const {
  return absl::UnimplementedError("the simulation makes its sites itself");
}

// --- what is there ---

int ModelHost::VersionAt(CodeAddress body) const {
  for (const Version& version : versions_) {
    if (version.text.begin == body && !version.freed) return version.number;
  }
  return -1;
}

CodeAddress ModelHost::TrampolinesAround(CodeAddress address) const {
  for (const CodeRange& range : trampolines_) {
    if (range.Contains(address)) return range.begin;
  }
  return address;
}

bool ModelHost::IsTrampoline(CodeAddress address) const {
  return std::any_of(trampolines_.begin(), trampolines_.end(),
                     [address](const CodeRange& range) { return range.Contains(address); });
}

bool ModelHost::Freed(CodeAddress address) const {
  return std::any_of(freed_.begin(), freed_.end(),
                     [address](const CodeRange& range) { return range.Contains(address); });
}

uint64_t ModelHost::EntryBytes(Function function) const {
  return ReadText<uint64_t>(sites_[function].entry);
}

uint64_t ModelHost::OpenBytes(Function function) const { return *OpenEntry(sites_[function]); }

bool ModelHost::SlotsLead() const {
  return std::all_of(std::begin(sites_), std::end(sites_), [this](const FunctionSite& site) {
    if (site.entry.is_null()) return true;
    const CodeAddress target{*site.slot};
    return IsTrampoline(target) || VersionAt(target) >= 0;
  });
}

bool ModelHost::Pristine(bool entries_may_be_open) const {
  for (const FunctionSite& site : sites_) {
    if (site.entry.is_null()) continue;
    if (!entries_may_be_open && ReadText<uint64_t>(site.entry) != kClosedEntry) return false;
    if (*site.slot != site.entry.value + kEntryStubSize) return false;
  }
  return true;
}

}  // namespace mend::simulation
