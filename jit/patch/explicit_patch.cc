#include "jit/patch/explicit_patch.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "jit/patch/patch_descriptor.h"
#include "runtime/format/program_image.h"

namespace mend::jit {
namespace {

absl::Status Invalid(const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat("EINVAL: ", what));
}

// Whether data that stays leads to the patch's text, other than by the descriptor.
bool LeadsToText(const HostedProgram& object, const PatchDescriptor& descriptor) {
  return std::any_of(object.text_pointers.begin(), object.text_pointers.end(),
                     [&descriptor](uintptr_t pointer) {
                       return std::none_of(descriptor.parts.begin(), descriptor.parts.end(),
                                           [pointer](const std::pair<uintptr_t, size_t>& part) {
                                             return pointer - part.first < part.second;
                                           });
                     });
}

// Threads may be reading it: code of the patch whose author knows that the object is there.
void StoreWord(const LateWord& word, uintptr_t value) {
  std::atomic_ref<uintptr_t>(*reinterpret_cast<uintptr_t*>(word.address))
      .store(value, std::memory_order_relaxed);
}

}  // namespace

ParkedPatches::Parked ParkedPatches::Take(const std::string& content_hash) {
  const MutexLock lock(&mu_);
  const auto found = parked_.find(content_hash);
  if (found == parked_.end()) return {};
  Parked parked = std::move(found->second);
  parked_.erase(found);
  return parked;
}

void ParkedPatches::Park(const std::string& content_hash, Parked parked) {
  const MutexLock lock(&mu_);
  parked_.emplace(content_hash, std::move(parked));
}

ExplicitPatch::ExplicitPatch(const HostedProgram* program, ParkedPatches* parked,
                             const PatchModule& module)
    : program_(program),
      parked_(parked),
      objects_(module.objects),
      name_(module.name),
      content_hash_(module.content_hash),
      allow_inlined_(module.allow_inlined) {}

absl::Status ExplicitPatch::Load(const HostedProgram* program, ParkedPatches* parked,
                                 const PatchModule& module, const ProgramArguments& arguments,
                                 Patch& patch) {
  std::unique_ptr<ExplicitPatch> loaded(new ExplicitPatch(program, parked, module));
  loaded->arguments_ = arguments;
  if (absl::Status linked = loaded->Link(); !linked.ok()) return linked;
  if (absl::Status filled = loaded->Fill(module, patch); !filled.ok()) return filled;
  patch.module = std::move(loaded);
  return absl::OkStatus();
}

absl::Status ExplicitPatch::Link() {
  std::vector<ProgramObject> objects;
  objects.reserve(objects_.size());
  for (const ExplicitObject& object : objects_) objects.push_back({object.name, object.bytes});
  ParkedPatches::Parked parked = parked_->Take(content_hash_);
  if (parked.link != nullptr) return Revive(std::move(parked));
  std::unique_ptr<ModuleArena> arena = std::move(parked.arena);
  const bool is_known = arena != nullptr;
  absl::Status status;
  if (is_known) {
    kept_ = arena->Save();
    status = arena->Reuse();
  } else {
    arena = std::make_unique<ModuleArena>(program_->memory);
  }
  if (status.ok()) {
    absl::StatusOr<std::unique_ptr<GuestLink>> link =
        GuestLink::Link(program_, arena,
                        {.name = name_,
                         .version = name_,
                         .objects = std::move(objects),
                         .libraries = {},
                         .lazy_name = "",
                         .needed = {}});
    status = link.status();
    if (link.ok()) link_ = *std::move(link);
  }
  if (!status.ok() && is_known) {
    // Somebody may point to its data still.
    arena->FreeText();
    if (absl::Status restored = arena->Restore(*kept_); !restored.ok()) return restored;
    parked_->Park(content_hash_,
                  {.arena = std::move(arena), .link = {}, .objects = {}, .linked_data = {}});
  }
  return status;
}

absl::Status ExplicitPatch::Revive(ParkedPatches::Parked parked) {
  link_ = std::move(parked.link);
  objects_ = std::move(parked.objects);
  linked_data_ = std::move(parked.linked_data);
  is_pinned_ = true;
  kept_ = link_->SaveData();
  return link_->RestoreData(linked_data_);
}

ExplicitPatch::~ExplicitPatch() {
  if (link_ == nullptr) return;
  link_->RunFinalizers();
  if (is_pinned_) {
    // Somebody may still call what the data leads to, and unwind through it.
    if (kept_.has_value()) (void)link_->RestoreData(*kept_);
    parked_->Park(content_hash_, {.arena = nullptr,
                                  .link = std::move(link_),
                                  .objects = std::move(objects_),
                                  .linked_data = std::move(linked_data_)});
    return;
  }
  for (const CodeRange& text : named_) program_->index.RemoveVersion(text);
  std::unique_ptr<ModuleArena> arena = link_->TakeArena();
  arena->FreeText();
  link_.reset();
  // It did not come to anything. If that fails, the data is as the link left it.
  if (kept_.has_value()) (void)arena->Restore(*kept_);
  parked_->Park(content_hash_,
                {.arena = std::move(arena), .link = {}, .objects = {}, .linked_data = {}});
}

void ExplicitPatch::RunInitializers() {
  link_->RunInitializers(arguments_.argc, arguments_.argv, arguments_.envp);
}

absl::Status ExplicitPatch::Fill(const PatchModule& module, Patch& patch) {
  absl::StatusOr<uintptr_t> address = link_->NamedPointer(kLivepatchPointer);
  if (!address.ok()) return address.status();
  absl::StatusOr<PatchDescriptor> descriptor = ReadPatchDescriptor(
      *link_, {.patch = *address, .state_owners = link_->object().state_owner_tables}, module.name);
  if (!descriptor.ok()) return descriptor.status();
  patch.descriptor = descriptor->address;
  patch.replace = descriptor->replace && module.replace;
  patch.states = descriptor->states;
  if (absl::Status added = link_->AddParameters(patch.parameters); !added.ok()) return added;
  std::vector<CodeRange> replacements;
  for (DescribedObject& described : descriptor->objects) {
    PatchObject object;
    object.name = described.name;
    object.callbacks = described.callbacks;
    for (DescribedFunction& entry : described.functions) {
      PatchFunction function;
      function.old.object = described.name;
      function.old.name = std::move(entry.old_name);
      function.old.sympos = entry.sympos;
      function.new_body = entry.has_stub ? entry.entry + kEntryStubSize : entry.entry;
      function.new_text = entry.text;
      function.detail = "explicit";
      replacements.push_back(entry.text);
      object.functions.push_back(std::move(function));
    }
    patch.objects.push_back(std::move(object));
  }
  if (absl::Status read = ReadLateSymbols(patch); !read.ok()) return read;
  for (FunctionSite& site : link_->UnitFunctions()) patch.held.push_back(std::move(site));
  if (!is_pinned_ && LeadsToText(link_->object(), *descriptor)) {
    is_pinned_ = true;
    linked_data_ = link_->SaveData();
  }
  NameFunctions(patch);
  return absl::OkStatus();
}

absl::Status ExplicitPatch::ReadLateSymbols(const Patch& patch) {
  for (const LateWord& word : link_->object().late_words) {
    absl::StatusOr<LateSymbol> symbol = ParseLateSymbol(word.symbol);
    if (!symbol.ok()) return symbol.status();
    const bool is_known =
        std::any_of(patch.objects.begin(), patch.objects.end(),
                    [&symbol](const PatchObject& object) { return object.name == symbol->object; });
    if (!is_known) {
      return Invalid(absl::StrCat("the patch refers to '", symbol->symbol, "' of object '",
                                  symbol->object,
                                  "', which it does not have; give it a "
                                  "MEND_OBJECT, if only with no functions"));
    }
    StoreWord(word, 0);
    const std::string object = symbol->object;
    late_[object].push_back({*std::move(symbol), word});
  }
  return absl::OkStatus();
}

absl::Status ExplicitPatch::BindLateSymbols(const HostedProgram& object,
                                            const std::string& name) const {
  const auto found = late_.find(name);
  if (found == late_.end()) return absl::OkStatus();
  std::vector<uintptr_t> values;
  for (const LateReference& reference : found->second) {
    const LateSymbol& wanted = reference.symbol;
    absl::StatusOr<const HostedSymbol*> symbol = SymbolAtPosition(
        object.index.SymbolsNamed(wanted.symbol), wanted.symbol, wanted.position, name);
    if (!symbol.ok()) return symbol.status();
    values.push_back((*symbol)->address + static_cast<uintptr_t>(reference.word.addend));
  }
  for (size_t i = 0; i < values.size(); ++i) StoreWord(found->second[i].word, values[i]);
  return absl::OkStatus();
}

void ExplicitPatch::ReleaseLateSymbols(const std::string& name) const {
  const auto found = late_.find(name);
  if (found == late_.end()) return;
  for (const LateReference& reference : found->second) StoreWord(reference.word, 0);
}

void ExplicitPatch::NameFunctions(Patch& patch) {
  const HostedProgram& object = link_->object();
  std::set<uintptr_t> replacements;
  for (const PatchObject& patched : patch.objects) {
    for (const PatchFunction& function : patched.functions) {
      replacements.insert(function.new_text.begin.value);
    }
  }
  for (const HostedSymbol* symbol : object.index.Functions()) {
    const CodeAddress entry{symbol->address};
    const CodeRange text{entry, entry + symbol->size};
    if (!text.empty()) {
      program_->index.AddVersion(text, symbol->name);
      named_.push_back(text);
    }
    if (!replacements.contains(entry.value)) {
      if (!text.empty()) patch.added_text.push_back(text);
      continue;
    }
    // An object that does not describe itself is taken at its word.
    const absl::StatusOr<UnitFacts> facts =
        ReadUnitFacts(objects_[symbol->unit].name, objects_[symbol->unit].bytes);
    if (!facts.ok()) continue;
    const auto described = facts->functions.find(symbol->name);
    if (described != facts->functions.end() && !described->second.nounwind) {
      may_throw_.insert(entry.value);
    }
  }
}

absl::Status ExplicitPatch::CheckReplacement(UnitFactsCache& facts, const HostedProgram& object,
                                             const HostedSymbol& old, const PatchFunction& function,
                                             const std::set<std::string>& replaced) const {
  const std::string& file = object.index.file(old.unit);
  if (old.slot == nullptr) {
    return Invalid(absl::StrCat("function '", old.name, "' of ", file,
                                " cannot be patched: it has no entry stub"));
  }
  const absl::StatusOr<const UnitFacts*> own = facts.Of(object, old.unit);
  if (own.ok()) {
    const auto described = (*own)->functions.find(old.name);
    if (described != (*own)->functions.end() && described->second.nounwind &&
        may_throw_.contains(function.new_text.begin.value)) {
      return Invalid(absl::StrCat("the replacement of function '", old.name,
                                  "' may throw, and its callers were compiled for one that does "
                                  "not; declare it noexcept"));
    }
  }
  if (allow_inlined_) return absl::OkStatus();
  std::vector<std::string> copies_in;
  for (uint32_t unit = 0; unit < object.index.unit_count(); ++unit) {
    // A static function of that name in another unit is another function.
    if (old.binding == Binding::kLocal && unit != old.unit) continue;
    const absl::StatusOr<const UnitFacts*> its = facts.Of(object, unit);
    if (!its.ok()) continue;
    for (const std::string& holder : (*its)->FunctionsWithCopyOf(old.name)) {
      if (replaced.contains(holder)) continue;
      copies_in.push_back(
          absl::StrCat("'", Demangled(holder), "' (", object.index.file(unit), ")"));
    }
  }
  if (copies_in.empty()) return absl::OkStatus();
  return Invalid(absl::StrCat("function '", old.name, "' is also inlined into ",
                              absl::StrJoin(copies_in, ", "),
                              ", which would keep the old code; replace that too, or give "
                              "--allow-inlined"));
}

}  // namespace mend::jit
