#include "patchc/object/base.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "llvm/Support/MemoryBuffer.h"
#include "patchc/support/refusals.h"
#include "runtime/format/program_image.h"

namespace mend::patchc {
namespace {

absl::Status InUnit(const std::string& member, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(member, ": ", status.message()));
}

}  // namespace

Base::Base(Base&&) noexcept = default;
Base& Base::operator=(Base&&) noexcept = default;
Base::~Base() = default;

absl::StatusOr<Base> Base::OpenFile(const std::string& file) {
  auto contents = llvm::MemoryBuffer::getFile(file, /*IsText=*/false,
                                              /*RequiresNullTerminator=*/false);
  if (!contents) {
    return absl::NotFoundError(
        absl::StrCat("cannot read ", file, ": ", contents.getError().message()));
  }
  Base base;
  base.file_ = file;
  base.contents_ = std::move(*contents);
  const std::string_view bytes(base.contents_->getBufferStart(), base.contents_->getBufferSize());
  const absl::StatusOr<std::string_view> image = FindProgramImage(bytes);
  if (!image.ok()) {
    return RefusalStatus(
        {RefusalCode::kNotAProgram, absl::StrCat(file, " is not a program made by patchc"), {}});
  }
  if (absl::Status added = base.AddImage(file, *image); !added.ok()) return added;
  return base;
}

absl::StatusOr<Base> Base::FromModule(const std::string& name, const std::string& file,
                                      std::string_view bytes) {
  Base base;
  base.file_ = file;
  base.module_ = name;
  base.contents_ = llvm::MemoryBuffer::getMemBufferCopy({bytes.data(), bytes.size()}, file);
  const absl::StatusOr<std::string_view> image = FindElfSection(
      {base.contents_->getBufferStart(), base.contents_->getBufferSize()}, kModuleSection);
  if (!image.ok()) {
    return RefusalStatus({RefusalCode::kNotAProgram,
                          absl::StrCat(file, " is not a guest module made by patchc"),
                          {}});
  }
  if (absl::Status added = base.AddImage(file, *image); !added.ok()) return added;
  return base;
}

absl::StatusOr<Base> Base::FromImage(const std::string& name, std::string_view image) {
  Base base;
  base.file_ = name;
  base.contents_ = llvm::MemoryBuffer::getMemBufferCopy({image.data(), image.size()}, name);
  absl::Status added =
      base.AddImage(name, {base.contents_->getBufferStart(), base.contents_->getBufferSize()});
  if (!added.ok()) return added;
  return base;
}

absl::Status Base::AddImage(const std::string& name, std::string_view image) {
  const absl::StatusOr<std::vector<ProgramObject>> objects = ParseProgramImage(image);
  if (!objects.ok()) return InUnit(name, objects.status());
  for (const ProgramObject& object : *objects) {
    absl::Status added = AddUnit(std::string(object.name), object.bytes);
    if (!added.ok()) return added;
  }
  IndexDefinitions();
  return absl::OkStatus();
}

absl::StatusOr<Base> Base::FromObjects(
    const std::vector<std::pair<std::string, std::string_view>>& objects,
    const std::string& module) {
  Base base;
  base.module_ = module;
  for (const auto& [member, bytes] : objects) {
    if (absl::Status added = base.AddUnit(member, bytes); !added.ok()) return added;
  }
  base.IndexDefinitions();
  return base;
}

absl::Status Base::AddUnit(std::string member, std::string_view object) {
  if (member == kHeadersMember) {
    unread_headers_.push_back(object);
    return absl::OkStatus();
  }
  BaseUnit unit;
  unit.member = std::move(member);
  unit.object = object;
  const absl::StatusOr<std::string_view> section = FindElfSection(object, kObjectSection);
  if (section.ok()) {
    absl::StatusOr<ObjectDescription> description = ParseObjectDescription(*section);
    if (!description.ok()) return InUnit(unit.member, description.status());
    unit.description = *std::move(description);
    unit.has_description = true;
  }
  units_.push_back(std::move(unit));
  return absl::OkStatus();
}

void Base::IndexDefinitions() {
  const auto add = [this](const std::string& name, Binding binding, size_t unit) {
    if (binding == Binding::kLocal) return;
    const auto [found, is_new] = definers_.try_emplace(name, unit, binding);
    if (!is_new && found->second.second == Binding::kWeak && binding == Binding::kGlobal) {
      found->second = {unit, binding};
    }
  };
  for (size_t i = 0; i < units_.size(); ++i) {
    const ObjectDescription& description = units_[i].description;
    for (const FunctionDescription& f : description.functions) add(f.name, f.binding, i);
    for (const DataDescription& d : description.data) add(d.name, d.binding, i);
    if (units_[i].has_description) continue;
    const absl::StatusOr<const ObjectSummary*> summary = Summary(i);
    if (!summary.ok()) continue;
    for (const FunctionDescription& f : (*summary)->functions) add(f.name, f.binding, i);
    for (const DataDescription& d : (*summary)->data) add(d.name, d.binding, i);
  }
}

std::string Base::Shown() const {
  return module_.empty() ? "the program" : absl::StrCat("module '", module_, "'");
}

std::string Base::ContentHash() const {
  if (contents_ == nullptr) return {};
  return HashHex({contents_->getBufferStart(), contents_->getBufferSize()});
}

unsigned Base::PositionOf(const std::string& name, Binding binding, size_t unit) {
  // Of a name that many units define the object has one.
  const std::optional<size_t> definer = Definer(name);
  if (binding != Binding::kLocal) unit = definer.value_or(unit);
  unsigned position = 1;
  for (size_t i = 0; i < unit; ++i) {
    for (const FunctionDescription& function : units_[i].description.functions) {
      if (function.name != name) continue;
      if (function.binding == Binding::kLocal || definer == i) ++position;
    }
  }
  return position;
}

absl::StatusOr<const ObjectSummary*> Base::Summary(size_t unit) {
  const auto found = summaries_.find(unit);
  if (found != summaries_.end()) return &found->second;
  absl::StatusOr<ObjectSummary> summary = SummarizeObject(units_[unit].object);
  if (!summary.ok()) return InUnit(units_[unit].member, summary.status());
  if (units_[unit].has_description) TakePatchable(units_[unit].description.functions, *summary);
  return &summaries_.emplace(unit, *std::move(summary)).first->second;
}

absl::StatusOr<const std::vector<SourceText>*> Base::Sources(size_t unit) {
  const auto found = sources_.find(unit);
  if (found != sources_.end()) return &found->second;
  absl::StatusOr<std::vector<SourceText>> texts = SourcesIn(units_[unit].object);
  if (!texts.ok()) return InUnit(units_[unit].member, texts.status());
  return &sources_.emplace(unit, *std::move(texts)).first->second;
}

absl::StatusOr<const std::string*> Base::SharedSource(const std::string& hash) {
  // A program that was linked with guest modules has one of each.
  for (const std::string_view member : std::exchange(unread_headers_, {})) {
    absl::StatusOr<std::vector<SourceText>> texts = SourcesIn(member);
    if (!texts.ok()) return InUnit(Shown(), texts.status());
    for (SourceText& text : *texts) {
      std::string its_hash = HashHex(text.contents);
      shared_sources_.emplace(std::move(its_hash), std::move(text.contents));
    }
  }
  const auto found = shared_sources_.find(hash);
  return found == shared_sources_.end() ? nullptr : &found->second;
}

std::optional<size_t> Base::Definer(const std::string& name) const {
  const auto found = definers_.find(name);
  if (found == definers_.end()) return std::nullopt;
  return found->second.first;
}

bool Base::HasTwin(size_t unit) const {
  const std::string name = units_[unit].description.UnitName();
  return std::any_of(units_.begin(), units_.end(), [&](const BaseUnit& other) {
    return &other != &units_[unit] && other.has_description && other.description.UnitName() == name;
  });
}

std::set<std::string> Base::NewlyDefined(const ObjectSummary& before,
                                         const ObjectSummary& after) const {
  std::set<std::string> names;
  const auto add = [&](const auto& symbols) {
    for (const auto& symbol : symbols) {
      const bool is_new = symbol.binding == Binding::kGlobal &&
                          before.undefined.contains(symbol.name) && !Definer(symbol.name);
      if (is_new) names.insert(symbol.name);
    }
  };
  add(after.functions);
  add(after.data);
  return names;
}

absl::StatusOr<std::vector<size_t>> Base::Users(const std::string& name) {
  std::vector<size_t> users;
  for (size_t i = 0; i < units_.size(); ++i) {
    const absl::StatusOr<const ObjectSummary*> summary = Summary(i);
    if (!summary.ok()) return summary.status();
    if ((*summary)->undefined.contains(name)) users.push_back(i);
  }
  return users;
}

}  // namespace mend::patchc
