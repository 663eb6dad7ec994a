#include "jit/patch/source_patch.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace mend::jit {
namespace {

// Stands for the callbacks of a guest module that its own source declares, as long as it is not
// there: the core is to know that there are any.
int UnlinkedCallback(mend_object* /*object*/) { return 0; }

bool HasCallbacks(const ObjectCallbacks& callbacks) {
  return callbacks.pre_patch != nullptr || callbacks.post_patch != nullptr ||
         callbacks.pre_unpatch != nullptr || callbacks.post_unpatch != nullptr;
}

bool DeclaresPatch(const PatchUnit& unit) {
  return std::find(unit.new_data.begin(), unit.new_data.end(), kLivepatchPointer) !=
         unit.new_data.end();
}

std::vector<const PatchUnit*> UnitsOf(const std::vector<PatchUnit>& units,
                                      const std::string& module) {
  std::vector<const PatchUnit*> found;
  for (const PatchUnit& unit : units) {
    if (unit.module == module) found.push_back(&unit);
  }
  return found;
}

}  // namespace

SourcePatch::SourcePatch(std::shared_ptr<void> keep_alive, const HostedProgram* program,
                         const PatchModule& module)
    : keep_alive_(std::move(keep_alive)), program_(program), name_(module.name) {
  for (const PatchUnit& unit : module.units) {
    if (!unit.module.empty()) {
      guest_units_.push_back(unit);
      continue;
    }
    PatchUnit& types = own_types_.emplace_back();
    types.unit = unit.unit;
    types.types = unit.types;
  }
}

SourcePatch::~SourcePatch() {
  // Data that stays leads into this text: a later patch may find that data again. The text of one
  // object calls new functions of others.
  const bool is_pinned = std::any_of(linked_.begin(), linked_.end(), [](const auto& linked) {
    return linked.second.text->is_pinned();
  });
  if (!is_pinned) return;
  for (auto& [name, linked] : linked_) linked.object->Keep(std::move(linked.text));
}

absl::Status SourcePatch::Load(std::shared_ptr<void> keep_alive,
                               const std::shared_ptr<PatchedObject>& program, UnitFactsCache& facts,
                               const PatchModule& module, Patch& patch) {
  std::unique_ptr<SourcePatch> loaded(
      new SourcePatch(std::move(keep_alive), &program->object(), module));
  const std::vector<const PatchUnit*> own = UnitsOf(module.units, "");
  UnitsResult declared;
  if (!own.empty()) {
    absl::StatusOr<UnitsResult> result = LinkUnits(
        loaded->program_, *program, facts, {module.name, own, {}, {}, loaded->ServesOthers("")});
    if (!result.ok()) return result.status();
    PatchObject object;
    for (PatchFunction& function : result->functions) {
      object.functions.push_back(std::move(function));
    }
    patch.objects.push_back(std::move(object));
    patch.added_text = std::move(result->added_text);
    // The program's own are held in every patch.
    for (FunctionSite& site : result->unit_functions) {
      const bool is_known =
          std::any_of(patch.held.begin(), patch.held.end(),
                      [&site](const FunctionSite& held) { return held.entry == site.entry; });
      if (!is_known) patch.held.push_back(std::move(site));
    }
    loaded->linked_[""] = {program, std::move(result->text), std::move(result->globals)};
    declared = *std::move(result);
  }
  loaded->DescribeObjects(patch);
  if (absl::Status read = loaded->ReadDeclarations(declared, patch); !read.ok()) return read;
  patch.module = std::move(loaded);
  return absl::OkStatus();
}

void SourcePatch::DescribeObjects(Patch& patch) const {
  for (const PatchUnit& unit : guest_units_) {
    auto object = std::find_if(patch.objects.begin(), patch.objects.end(),
                               [&unit](const PatchObject& o) { return o.name == unit.module; });
    if (object == patch.objects.end()) {
      object = patch.objects.emplace(patch.objects.end());
      object->name = unit.module;
    }
    if (DeclaresPatch(unit)) object->callbacks.pre_patch = &UnlinkedCallback;
    for (const PatchedFunction& described : unit.functions) {
      PatchFunction function;
      function.old.object = unit.module;
      function.old.unit = unit.unit;
      function.old.name = described.name;
      function.old.sympos = described.position;
      function.reason = described.reason;
      function.detail = described.detail;
      function.links_late = true;
      object->functions.push_back(std::move(function));
    }
  }
}

absl::Status SourcePatch::ReadDeclarations(const UnitsResult& result, Patch& patch) const {
  for (const auto& [table, size] : result.parameter_tables) {
    absl::Status added = result.data->AddParameters(table, size, patch.parameters);
    if (!added.ok()) return added;
  }
  if (result.declared.patch == 0 && result.declared.state_owners.empty()) return absl::OkStatus();
  absl::StatusOr<PatchDescriptor> descriptor =
      ReadPatchDescriptor(*result.data, result.declared, name_);
  if (!descriptor.ok()) return descriptor.status();
  patch.descriptor = descriptor->address;
  patch.replace = descriptor->replace && patch.replace;
  patch.states = std::move(descriptor->states);
  // In the descriptor's order, and then what it does not name.
  std::vector<PatchObject> found = std::move(patch.objects);
  patch.objects.clear();
  for (const DescribedObject& described : descriptor->objects) {
    const auto at = std::find_if(found.begin(), found.end(), [&described](const PatchObject& o) {
      return o.name == described.name;
    });
    PatchObject object;
    object.name = described.name;
    if (at != found.end()) {
      object = std::move(*at);
      found.erase(at);
    }
    if (HasCallbacks(object.callbacks) && HasCallbacks(described.callbacks)) {
      return absl::InvalidArgumentError(
          absl::StrCat("EINVAL: callbacks for module '", object.name,
                       "' are declared in a source of the program and in one of its own"));
    }
    if (!HasCallbacks(object.callbacks)) object.callbacks = described.callbacks;
    patch.objects.push_back(std::move(object));
  }
  std::move(found.begin(), found.end(), std::back_inserter(patch.objects));
  return absl::OkStatus();
}

absl::Status SourcePatch::ReadCallbacks(const UnitsResult& result, PatchObject& object) const {
  if (result.declared.patch == 0) return absl::OkStatus();
  absl::StatusOr<PatchDescriptor> descriptor =
      ReadPatchDescriptor(*result.data, result.declared, name_);
  if (!descriptor.ok()) return descriptor.status();
  if (!descriptor->states.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("EINVAL: a source of module '", object.name,
                     "' declares states; declare them in a source of the program"));
  }
  for (const DescribedObject& described : descriptor->objects) {
    if (described.name == object.name) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "EINVAL: a source of module '", object.name, "' declares callbacks for ",
        described.name.empty() ? "the program" : absl::StrCat("module '", described.name, "'"),
        "; declare them there"));
  }
  if (descriptor->objects.empty()) return absl::OkStatus();
  object.callbacks = descriptor->objects.front().callbacks;
  return absl::OkStatus();
}

bool SourcePatch::ServesOthers(const std::string& object) const {
  const std::vector<std::string> globals = program_->guests.Globals();
  if (!object.empty() && std::find(globals.begin(), globals.end(), object) == globals.end()) {
    return false;
  }
  return std::any_of(guest_units_.begin(), guest_units_.end(),
                     [&object](const PatchUnit& unit) { return unit.module != object; });
}

std::map<std::string, uintptr_t> SourcePatch::ProgramGlobals() const {
  const auto program = linked_.find("");
  return program == linked_.end() ? std::map<std::string, uintptr_t>() : program->second.globals;
}

std::map<std::string, ModuleGlobal> SourcePatch::ModuleGlobals() const {
  std::map<std::string, ModuleGlobal> globals;
  for (const std::string& module : program_->guests.Globals()) {
    const auto linked = linked_.find(module);
    if (linked == linked_.end()) continue;
    for (const auto& [name, address] : linked->second.globals) {
      globals.try_emplace(name, ModuleGlobal{module, address});
    }
  }
  return globals;
}

void SourcePatch::TakeLinked(std::vector<PatchFunction> linked, PatchObject& object) {
  const auto added_end =
      std::find_if_not(linked.begin(), linked.end(),
                       [](const PatchFunction& function) { return function.is_added; });
  // Both are in the patch's order.
  auto next = added_end;
  auto late = object.functions.begin();
  while (late != object.functions.end() && late->links_late) {
    if (next == linked.end() || next->old.name != late->old.name ||
        next->old.unit != late->old.unit) {
      // A second name of one that has been here (a destructor's variants), or another unit's.
      late = object.functions.erase(late);
      continue;
    }
    // The name that it has had all along, in logs and in the attribute tree.
    next->old.sympos = late->old.sympos;
    late->old = std::move(next->old);
    late->new_body = next->new_body;
    late->new_text = next->new_text;
    ++next;
    ++late;
  }
  for (auto added = linked.begin(); added != added_end; ++added) added->links_late = true;
  // Before the nops.
  object.functions.insert(late, std::make_move_iterator(linked.begin()),
                          std::make_move_iterator(added_end));
}

absl::Status SourcePatch::LinkObject(const std::shared_ptr<PatchedObject>& into,
                                     UnitFactsCache& facts, PatchObject& object) {
  const std::vector<const PatchUnit*> units = UnitsOf(guest_units_, object.name);
  if (units.empty() || linked_.contains(object.name)) return absl::OkStatus();
  absl::StatusOr<UnitsResult> result =
      LinkUnits(program_, *into, facts,
                {name_, units, ProgramGlobals(), ModuleGlobals(), ServesOthers(object.name)});
  if (!result.ok()) return result.status();
  if (absl::Status read = ReadCallbacks(*result, object); !read.ok()) {
    // As the destructor has it.
    if (result->text->is_pinned()) into->Keep(std::move(result->text));
    return read;
  }
  TakeLinked(std::move(result->functions), object);
  object.added_text = std::move(result->added_text);
  object.held = std::move(result->unit_functions);
  for (FunctionSite& held : object.held) held.object = object.name;
  linked_[object.name] = {into, std::move(result->text), std::move(result->globals)};
  if (is_committed_) KeepTypes(object.name);
  return absl::OkStatus();
}

void SourcePatch::ForgetObject(PatchObject& object) {
  const auto found = linked_.find(object.name);
  if (found == linked_.end()) return;
  if (std::any_of(guest_units_.begin(), guest_units_.end(), [&object](const PatchUnit& unit) {
        return unit.module == object.name && DeclaresPatch(unit);
      })) {
    object.callbacks = {};
    object.callbacks.pre_patch = &UnlinkedCallback;
  }
  found->second.object->Keep(std::move(found->second.text));
  linked_.erase(found);
}

void SourcePatch::KeepTypes(const std::string& object) const {
  PatchedObject& into = *linked_.at(object).object;
  for (const PatchUnit* unit : UnitsOf(object.empty() ? own_types_ : guest_units_, object)) {
    into.KeepTypes(*unit, name_);
  }
}

void SourcePatch::Commit() {
  is_committed_ = true;
  for (const auto& [object, linked] : linked_) KeepTypes(object);
}

uint64_t SourcePatch::text_bytes() const {
  uint64_t bytes = 0;
  for (const auto& [name, linked] : linked_) bytes += linked.text->text_bytes();
  return bytes;
}

uint64_t SourcePatch::data_bytes() const {
  uint64_t bytes = 0;
  for (const auto& [name, linked] : linked_) bytes += linked.text->data_bytes();
  return bytes;
}

}  // namespace mend::jit
