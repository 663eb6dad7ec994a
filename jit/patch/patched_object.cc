#include "jit/patch/patched_object.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace mend::jit {

const PatchData::Datum* PatchData::Find(const std::string& key, uint64_t size,
                                        const std::string& fingerprint) const {
  const auto it = data_.find(key);
  if (it == data_.end() || it->second.size != size || it->second.fingerprint != fingerprint) {
    return nullptr;
  }
  return &it->second;
}

const HostedSymbol* PatchData::FindFunction(const std::string& key) const {
  const auto it = functions_.find(key);
  return it == functions_.end() ? nullptr : &it->second;
}

void PatchData::AddFunction(const std::string& key, HostedSymbol function) {
  // Behind the others of that name.
  function.sympos += static_cast<unsigned>(
      std::count_if(functions_.begin(), functions_.end(),
                    [&function](const auto& known) { return known.second.name == function.name; }));
  functions_.try_emplace(key, std::move(function));
}

std::optional<uintptr_t> PatchData::FindConstant(const std::string& fingerprint) const {
  const auto it = constants_.find(fingerprint);
  if (it == constants_.end()) return std::nullopt;
  return it->second;
}

LinkedUnits::LinkedUnits(const HostedProgram* program, const std::string& patch, bool is_pinned,
                         std::vector<Part> parts)
    : program_(program), is_pinned_(is_pinned), parts_(std::move(parts)) {
  for (const Part& part : parts_) {
    part.rows.Register(patch);
    for (const auto& [text, function] : part.versions) program_->index.AddVersion(text, function);
  }
}

LinkedUnits::~LinkedUnits() {
  for (Part& part : parts_) {
    for (const auto& [text, function] : part.versions) program_->index.RemoveVersion(text);
    part.rows.Unregister();
    part.debugged = {};
    program_->memory->FreeModule(part.pages);
    program_->memory->FreeModule(part.data_pages);
  }
}

uint64_t LinkedUnits::text_bytes() const {
  uint64_t bytes = 0;
  for (const Part& part : parts_) bytes += part.pages.size();
  return bytes;
}

uint64_t LinkedUnits::data_bytes() const {
  uint64_t bytes = 0;
  for (const Part& part : parts_) bytes += part.data_bytes;
  return bytes;
}

void LinkedUnits::DropRowEntries() {
  for (Part& part : parts_) part.rows.ForgetEntries();
}

absl::Status PatchedObject::CheckTypes(const PatchUnit& unit) const {
  const MutexLock lock(&mu_);
  for (const AddedType& type : unit.types) {
    const auto known = types_.find(absl::StrCat(unit.unit, "|", type.name));
    if (known == types_.end() || type.is_allowed || known->second.layout == type.layout) continue;
    return absl::FailedPreconditionError(
        absl::StrCat(type.refusal, ": ", type.name, " of ", unit.unit, " was otherwise in patch '",
                     known->second.patch,
                     "', which added it: what that has left is not as the new code has it"));
  }
  return absl::OkStatus();
}

void PatchedObject::KeepTypes(const PatchUnit& unit, const std::string& patch) {
  const MutexLock lock(&mu_);
  for (const AddedType& type : unit.types) {
    if (type.refusal.empty()) continue;
    const auto [known, is_new] = types_.try_emplace(absl::StrCat(unit.unit, "|", type.name));
    if (is_new || known->second.layout != type.layout) known->second = {type.layout, patch};
  }
}

void PatchedObject::Keep(std::unique_ptr<LinkedUnits> units) {
  units->DropRowEntries();
  const MutexLock lock(&mu_);
  if (!is_gone_) kept_.push_back(std::move(units));
}

void PatchedObject::Free() {
  for (const auto& [offset, size] : thread_locals_) object_->tls->Release(offset, size);
  const MutexLock lock(&mu_);
  is_gone_ = true;
  kept_.clear();
}

}  // namespace mend::jit
