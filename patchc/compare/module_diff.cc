#include "patchc/compare/module_diff.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "llvm/Demangle/Demangle.h"
#include "patchc/compare/counted_names.h"
#include "patchc/compare/static_identity.h"

namespace mend::patchc {
namespace {

// Functions that the compiler makes to initialise a unit's variables before main.
bool IsInitializerName(std::string_view name) {
  return name.starts_with("_GLOBAL__") || name.starts_with("__cxx_global_var_init") ||
         name.starts_with("__cxx_global_array_dtor");
}

// Initialises a unit's thread-locals, all of them when a thread uses the first one.
bool IsThreadInitializerName(std::string_view name) { return name == "__tls_init"; }

// As the ABI names the guard of a variable that is initialised when it is first reached.
constexpr char kGuardPrefix[] = "_ZGV";

bool IsGuard(const std::string& name) { return WithoutImagePrefix(name).starts_with(kGuardPrefix); }

std::string GuardedBy(std::string name) {
  return name.replace(name.find(kGuardPrefix), sizeof kGuardPrefix - 1, "_Z");
}

bool IsVtableName(std::string_view name) {
  return name.starts_with("_ZTV") || name.starts_with("_ZTT") || name.starts_with("_ZTC") ||
         name.starts_with("_ZTI");
}

template <typename Description>
std::map<std::string, const Description*> ByName(const std::vector<Description>& list) {
  std::map<std::string, const Description*> map;
  for (const Description& element : list) map.emplace(element.name, &element);
  return map;
}

template <typename Description>
std::set<std::string> Names(const std::vector<Description>& list) {
  std::set<std::string> names;
  for (const Description& element : list) names.insert(element.name);
  return names;
}

class UnitComparer {
 public:
  explicit UnitComparer(const UnitSides& sides)
      : sides_(sides),
        base_functions_(ByName(sides.base.functions)),
        base_data_(ByName(sides.base.data)),
        edited_functions_(ByName(sides.edited.functions)),
        edited_data_(ByName(sides.edited.data)) {}

  UnitDiff Compare() {
    diff_.unit = sides_.description.UnitName();
    RefuseDuplicates();
    FindRebound();
    for (const FunctionDescription& function : sides_.edited.functions) CompareFunction(function);
    for (const FunctionDescription& function : sides_.base.functions) {
      if (!edited_functions_.contains(function.name)) diff_.gone_functions.push_back(function.name);
    }
    // Constants are taken along by what is kept, so the data come after the functions.
    FindKept();
    for (const DataDescription& datum : sides_.edited.data) CompareDatum(datum);
    CheckInitializers();
    CheckGuards();
    CheckSharedCode();
    CheckIdentity();
    CollectReferences();
    return std::move(diff_);
  }

 private:
  void Refuse(RefusalCode code, const std::string& message, std::string detail = {}) {
    diff_.refusals.push_back(
        {code, absl::StrCat(sides_.description.source, ": ", message), std::move(detail)});
  }

  const SymbolDetails& Edited(const std::string& name) const {
    return sides_.edited.details.at(name);
  }

  // Names are all that ties the two sides together. Only `ld -r` makes two of one name.
  void RefuseDuplicates() {
    for (const ObjectSummary* side : {&sides_.base, &sides_.edited}) {
      std::set<std::string> seen;
      for (const FunctionDescription& function : side->functions) {
        if (seen.insert(function.name).second) continue;
        Refuse(RefusalCode::kFunctionAmbiguous,
               absl::StrCat("two functions named '", DisplayName(function.name), "'"));
      }
    }
  }

  // Fingerprints have names only: a static that the edit adds hides another unit's function or
  // variable of that name, and one that it removes uncovers it.
  void FindRebound() {
    const auto is_local = [](const auto& map, const std::string& name) {
      const auto found = map.find(name);
      return found != map.end() && found->second->binding == Binding::kLocal;
    };
    for (const std::string& name : sides_.base.undefined) {
      if (is_local(edited_functions_, name) || is_local(edited_data_, name)) rebound_.insert(name);
    }
    for (const std::string& name : sides_.edited.undefined) {
      if (is_local(base_functions_, name) || is_local(base_data_, name)) rebound_.insert(name);
    }
    rebound_.insert(sides_.newly_defined.begin(), sides_.newly_defined.end());
    for (const std::string& name : sides_.base.undefined) {
      const std::string datum = DatumOf(name);
      if (datum == name || !sides_.edited.undefined.contains(name)) continue;
      const bool is_new = !base_data_.contains(datum) && is_local(edited_data_, datum);
      const bool is_gone = !edited_data_.contains(datum) && is_local(base_data_, datum);
      if (!is_new && !is_gone) continue;
      // Its offset has the same name everywhere.
      Refuse(RefusalCode::kStaticAmbiguous,
             absl::StrCat("thread-local '", ShownDatum(datum), "' is ", is_new ? "new" : "gone",
                          ", and another unit has one of that name"));
    }
  }

  // Itself, or through constants of the unit.
  bool RefersToRebound(const std::string& symbol) const {
    if (rebound_.empty()) return false;
    std::set<std::string> seen;
    std::vector<std::string> pending = {symbol};
    while (!pending.empty()) {
      const std::string name = std::move(pending.back());
      pending.pop_back();
      if (!seen.insert(name).second) continue;
      for (const std::string& target : Edited(name).references) {
        if (rebound_.contains(target)) return true;
        const auto datum = edited_data_.find(target);
        if (datum != edited_data_.end() && datum->second->is_constant) pending.push_back(target);
      }
    }
    return false;
  }

  void CompareFunction(const FunctionDescription& edited) {
    const auto found = base_functions_.find(edited.name);
    if (found == base_functions_.end()) {
      if (IsThreadInitializerName(edited.name)) RefuseLateInitializer(edited.name);
      if (IsInitializerName(edited.name)) {
        initializers_.insert(edited.name);
      } else {
        CheckOtherName(edited);
        diff_.new_functions.push_back(edited.name);
      }
      return;
    }
    const FunctionDescription& base = *found->second;
    if (base.fingerprint == edited.fingerprint && !RefersToRebound(edited.name)) return;
    if (IsInitializerName(edited.name)) {
      initializers_.insert(edited.name);
      return;
    }
    if (IsThreadInitializerName(edited.name)) {
      Refuse(RefusalCode::kThreadInitializer, "the initialisation of its thread-locals changed");
      return;
    }
    if (!base.patchable || !edited.patchable) {
      Refuse(RefusalCode::kNotPatchable,
             absl::StrCat("function '", DisplayName(edited.name), "' changed"));
      return;
    }
    PatchedFunction function;
    function.name = edited.name;
    function.binding = base.binding;
    function.base_fingerprint = RecordedFingerprint(base);
    const bool same_code =
        sides_.base.details.at(edited.name).own_fingerprint == Edited(edited.name).own_fingerprint;
    if (same_code && base.fingerprint != edited.fingerprint) {
      function.reason = ChangeReason::kReadsConstant;
    }
    replaced_.insert(edited.name);
    diff_.functions.push_back(std::move(function));
  }

  // What the running program says of the function.
  std::string RecordedFingerprint(const FunctionDescription& base) const {
    for (const FunctionDescription& recorded : sides_.description.functions) {
      if (recorded.name == base.name) return recorded.fingerprint;
    }
    return base.fingerprint;
  }

  // Threads that run would initialise what they have and use since long.
  void RefuseLateInitializer(const std::string& initializer) {
    std::set<std::string> references = Edited(initializer).references;
    for (const std::string& name : Edited(initializer).references) {
      if (!IsInitializerName(name) || !edited_functions_.contains(name)) continue;
      references.insert(Edited(name).references.begin(), Edited(name).references.end());
    }
    for (const std::string& target : references) {
      const std::string datum = DatumOf(target);
      if (datum == target || !base_data_.contains(datum) || IsGuard(datum)) continue;
      Refuse(RefusalCode::kThreadInitializer, absl::StrCat("thread-local '", ShownDatum(datum),
                                                           "' had no code that initialises it"));
    }
  }

  // A variable that exists would be initialised when the new code first reaches it.
  void CheckGuards() {
    for (const std::string& name : kept_) {
      if (base_data_.contains(name) || !IsGuard(name)) continue;
      const std::string variable = GuardedBy(name);
      if (!base_data_.contains(variable)) continue;
      Refuse(RefusalCode::kDataInitializer,
             absl::StrCat("variable '", ShownDatum(variable), "' would be initialised again"));
    }
  }

  // Several names of one function (aliases) have one entry: a redirection of one is one of all.
  void CheckSharedCode() {
    std::map<std::pair<uint32_t, uint64_t>, std::vector<std::string>> by_place;
    for (const FunctionDescription& function : sides_.base.functions) {
      if (!function.patchable) continue;
      by_place[sides_.base.details.at(function.name).place].push_back(function.name);
    }
    std::set<std::string> messages;  // a destructor has variants of one name
    for (const std::string& name : replaced_) {
      for (const std::string& other : by_place[sides_.base.details.at(name).place]) {
        if (replaced_.contains(other) || !edited_functions_.contains(other)) continue;
        messages.insert(absl::StrCat("function '", DisplayName(name), "' changed, and '",
                                     DisplayName(other),
                                     "' did not; they are one function in the program"));
      }
    }
    for (const std::string& message : messages) Refuse(RefusalCode::kNotPatchable, message);
  }

  // Everything that the patch's functions and new globals reach inside of the unit, through data
  // that only the patch has.
  void FindKept() {
    std::vector<std::string> pending(replaced_.begin(), replaced_.end());
    pending.insert(pending.end(), diff_.new_functions.begin(), diff_.new_functions.end());
    // Another unit of the patch may use a new global, and reach through it what that refers to. The
    // host reads what the patch declares.
    for (const DataDescription& datum : sides_.edited.data) {
      if (IsNewGlobal(datum) || IsNewDeclaration(datum)) pending.push_back(datum.name);
    }
    while (!pending.empty()) {
      const std::string name = std::move(pending.back());
      pending.pop_back();
      if (!kept_.insert(name).second) continue;
      for (const std::string& target : Edited(name).references) {
        const auto datum = edited_data_.find(DatumOf(target));
        if (datum != edited_data_.end() && IsOwnDatum(*datum->second)) {
          pending.push_back(datum->first);
        }
      }
    }
  }

  bool IsNewGlobal(const DataDescription& edited) const {
    return edited.binding == Binding::kGlobal && !base_data_.contains(edited.name);
  }

  bool IsNewDeclaration(const DataDescription& edited) const {
    return IsPatchDeclaration(edited.name) && !base_data_.contains(edited.name);
  }

  // A datum that the patch brings along: new, or a constant whose contents are the patch's.
  bool IsOwnDatum(const DataDescription& edited) const {
    const auto found = base_data_.find(edited.name);
    if (found == base_data_.end()) return true;
    if (!edited.is_constant) return false;
    return Differs(*found->second, edited) || PointsIntoReplaced(edited.name);
  }

  // New code may count on more alignment than the running program's datum has; less does no harm.
  bool Differs(const DataDescription& base, const DataDescription& edited) const {
    return base.fingerprint != edited.fingerprint || RefersToRebound(edited.name) ||
           Edited(edited.name).alignment > sides_.base.details.at(base.name).alignment;
  }

  // Tables of labels belong to the version of their function.
  bool PointsIntoReplaced(const std::string& datum) const {
    const std::set<std::string>& owners = Edited(datum).label_owners;
    return std::any_of(owners.begin(), owners.end(),
                       [&](const std::string& owner) { return replaced_.contains(owner); });
  }

  static bool IsModuleDeclaration(const std::string& name) {
    return name == kModuleInitPointer || name == kModuleExitPointer;
  }

  // Constants that a declaration of both sides leads to are compared with it: nobody else reads
  // them. A function counts by its name.
  bool DeclaresTheSame(const std::string& declaration) const {
    std::set<std::string> seen;
    std::vector<std::string> pending = {declaration};
    while (!pending.empty()) {
      const std::string name = std::move(pending.back());
      pending.pop_back();
      const auto edited = edited_data_.find(name);
      if (edited == edited_data_.end() || !seen.insert(name).second) continue;
      const auto base = base_data_.find(name);
      if (base == base_data_.end() || Differs(*base->second, *edited->second)) return false;
      for (const std::string& target : Edited(name).references) pending.push_back(target);
    }
    return true;
  }

  void CheckDeclaration(const std::string& name) {
    if (!base_data_.contains(name)) {
      if (!IsModuleDeclaration(name)) return;
      Refuse(RefusalCode::kDeclarationInSource,
             absl::StrCat("'", name, "' of a source patch would have no effect"));
    } else if (!DeclaresTheSame(name)) {
      Refuse(RefusalCode::kDeclarationInSource,
             absl::StrCat("the edit changes '", name, "', which was compiled into what runs"));
    }
  }

  void CompareDatum(const DataDescription& edited) {
    const auto found = base_data_.find(edited.name);
    if (IsPatchDeclaration(edited.name) || IsModuleDeclaration(edited.name)) {
      CheckDeclaration(edited.name);
    }
    if (found == base_data_.end()) {
      if (kept_.contains(edited.name)) {
        CheckOtherName(edited);
        diff_.new_data.push_back(edited.name);
      }
      return;
    }
    const DataDescription& base = *found->second;
    const bool moved_labels = PointsIntoReplaced(edited.name);
    if (!Differs(base, edited) && !moved_labels) return;
    if (base.is_constant != edited.is_constant || base.is_thread_local != edited.is_thread_local) {
      Refuse(RefusalCode::kDataKind, absl::StrCat("variable '", ShownDatum(edited.name), "'"));
    } else if (edited.is_constant) {
      CompareConstant(edited);
    } else if (base.size != edited.size) {
      Refuse(RefusalCode::kDataSize,
             absl::StrCat("variable '", ShownDatum(edited.name), "' had ", base.size,
                          " bytes and would have ", edited.size));
    } else if (moved_labels) {
      Refuse(RefusalCode::kLabelTable, absl::StrCat("variable '", ShownDatum(edited.name), "'"));
    } else {
      Refuse(RefusalCode::kDataInitializer,
             absl::StrCat("variable '", ShownDatum(edited.name), "'"));
    }
  }

  // A pointer to it would be another one than that to the function which the program has. Variants
  // of a constructor have the same name for people, and no addresses.
  void CheckOtherName(const FunctionDescription& edited) {
    for (const FunctionDescription& other : sides_.edited.functions) {
      if (!base_functions_.contains(other.name) ||
          Edited(other.name).place != Edited(edited.name).place ||
          DisplayName(other.name) == DisplayName(edited.name)) {
        continue;
      }
      Refuse(RefusalCode::kSymbolDuplicate,
             absl::StrCat("function '", DisplayName(edited.name), "' is another name of '",
                          DisplayName(other.name), "', which the program has"));
      return;
    }
  }

  // The patch would have a variable of its own.
  void CheckOtherName(const DataDescription& edited) {
    if (edited.is_constant || Edited(edited.name).place.first == 0) return;
    for (const DataDescription& other : sides_.edited.data) {
      if (!base_data_.contains(other.name) ||
          Edited(other.name).place != Edited(edited.name).place) {
        continue;
      }
      Refuse(RefusalCode::kSymbolDuplicate,
             absl::StrCat("variable '", ShownDatum(edited.name), "' is another name of '",
                          ShownDatum(other.name), "', which the program has"));
      return;
    }
  }

  void CompareConstant(const DataDescription& edited) {
    if (IsVtableName(edited.name)) {
      Refuse(RefusalCode::kVtable, DisplayName(edited.name));
      return;
    }
    diff_.changed_constants.push_back(edited.name);
    if (kept_.contains(edited.name)) diff_.new_data.push_back(edited.name);
  }

  // Initialisers of the unit do not run again. That loses something only where they would have
  // initialised what the patch adds.
  void CheckInitializers() {
    const std::set<std::string> added(diff_.new_data.begin(), diff_.new_data.end());
    const auto threads = sides_.edited.details.find("__tls_init");
    bool changed = false;
    std::set<std::string> variables;
    for (const std::string& name : initializers_) {
      if (threads != sides_.edited.details.end() && threads->second.references.contains(name)) {
        Refuse(RefusalCode::kThreadInitializer, "the initialisation of its thread-locals changed");
        continue;
      }
      changed = true;
      for (const std::string& target : Edited(name).references) {
        const std::string datum = DatumOf(target);
        const auto known = base_data_.find(datum);
        if (known != base_data_.end() && !known->second->is_constant && !IsGuard(datum)) {
          variables.insert(absl::StrCat("'", ShownDatum(datum), "'"));
        }
        if (!added.contains(datum) || target.starts_with("DW.ref.")) continue;
        Refuse(RefusalCode::kNewDataConstructor,
               absl::StrCat("variable '", ShownDatum(datum), "'"));
      }
    }
    if (changed) {
      diff_.warnings.push_back(absl::StrCat(
          sides_.description.source, ": initialisers of variables changed",
          variables.empty() ? "" : absl::StrCat(" (", absl::StrJoin(variables, ", "), ")"),
          "; they have run already"));
    }
    const std::set<std::string> before(sides_.base.initializers.begin(),
                                       sides_.base.initializers.end());
    for (const std::string& name : sides_.edited.initializers) {
      if (IsInitializerName(name)) continue;
      if (!before.contains(name)) {
        diff_.warnings.push_back(absl::StrCat(sides_.description.source, ": '", DisplayName(name),
                                              "' runs by itself only since the edit: not in a "
                                              "program that has started without it"));
      } else if (replaced_.contains(name)) {
        diff_.warnings.push_back(absl::StrCat(sides_.description.source, ": '", DisplayName(name),
                                              "' changed; it has run already"));
      }
    }
  }

  void CheckIdentity() {
    for (Refusal& refusal : RefuseCountedNames(sides_, diff_)) {
      diff_.refusals.push_back(std::move(refusal));
    }
    for (const NameGroup& group : ChangedGroups(LocalNames(sides_.base.data),
                                                LocalNames(sides_.edited.data), StemOfStatic)) {
      // A group that only lost members still names those that it has left rightly, if alone.
      if (group.base.size() <= 1 && group.edited.size() <= 1) continue;
      Refuse(RefusalCode::kStaticAmbiguous,
             absl::StrCat("variables ", Quoted(group.base), " became ", Quoted(group.edited)));
    }
    for (const NameGroup& group : ChangedGroups(Names(sides_.base.functions),
                                                Names(sides_.edited.functions), StemOfFunction)) {
      if (group.base.size() <= 1 && group.edited.size() <= 1) continue;
      const bool any_changed =
          std::any_of(group.base.begin(), group.base.end(), [&](const std::string& name) {
            return replaced_.contains(name) || !edited_functions_.contains(name);
          });
      if (!any_changed) continue;
      Refuse(RefusalCode::kFunctionAmbiguous,
             absl::StrCat("functions ", Quoted(group.base), " became ", Quoted(group.edited)));
    }
  }

  static std::set<std::string> LocalNames(const std::vector<DataDescription>& data) {
    std::set<std::string> names;
    for (const DataDescription& datum : data) {
      // A copy of a constant is as good as the constant.
      if (datum.binding == Binding::kLocal && !datum.is_constant) names.insert(datum.name);
    }
    return names;
  }

  static std::string Quoted(const std::vector<std::string>& names) {
    return absl::StrJoin(names, ", ", [](std::string* out, const std::string& name) {
      absl::StrAppend(out, "'", DisplayName(name), "'");
    });
  }

  void CollectReferences() {
    const std::set<std::string> own(diff_.new_data.begin(), diff_.new_data.end());
    const auto recorded = ByName(sides_.description.data);
    std::set<std::string> seen;
    for (const std::string& name : kept_) {
      for (const std::string& target : Edited(name).references) {
        const auto base = base_data_.find(target);
        if (base == base_data_.end() || own.contains(target) || !seen.insert(target).second) {
          continue;
        }
        const auto description = recorded.find(target);
        diff_.references.push_back({target, base->second->binding, base->second->size,
                                    description == recorded.end()
                                        ? base->second->fingerprint
                                        : description->second->fingerprint});
      }
    }
  }

  const UnitSides& sides_;
  const std::map<std::string, const FunctionDescription*> base_functions_;
  const std::map<std::string, const DataDescription*> base_data_;
  const std::map<std::string, const FunctionDescription*> edited_functions_;
  const std::map<std::string, const DataDescription*> edited_data_;
  std::set<std::string> rebound_;  // names that mean something else after the edit
  std::set<std::string> replaced_;
  std::set<std::string> initializers_;
  std::set<std::string> kept_;
  UnitDiff diff_;
};

}  // namespace

UnitDiff CompareUnit(const UnitSides& sides) { return UnitComparer(sides).Compare(); }

std::string DatumOf(const std::string& reference) {
  std::string_view name = reference;
  if (!name.starts_with(kTlsOffsetPrefix)) return reference;
  name.remove_prefix(sizeof kTlsOffsetPrefix - 1);
  return absl::StrCat(kTlsImagePrefix, std::string(name));
}

std::string_view WithoutImagePrefix(std::string_view name) {
  if (name.starts_with(kTlsImagePrefix)) name.remove_prefix(sizeof kTlsImagePrefix - 1);
  return name;
}

std::string DisplayName(const std::string& symbol) { return llvm::demangle(symbol); }

std::string ShownDatum(std::string_view symbol) {
  return DisplayName(std::string(WithoutImagePrefix(symbol)));
}

}  // namespace mend::patchc
