#include "patchc/compare/left_out.h"

#include <map>
#include <vector>

namespace mend::patchc {
namespace {

// What the functions refer to, themselves or through data of the unit.
std::set<std::string> Reached(const std::set<std::string>& functions, const ObjectSummary& base,
                              const std::map<std::string, const DataDescription*>& data) {
  std::set<std::string> reached;
  std::vector<std::string> pending(functions.begin(), functions.end());
  while (!pending.empty()) {
    const auto details = base.details.find(pending.back());
    pending.pop_back();
    if (details == base.details.end()) continue;
    for (const std::string& target : details->second.references) {
      if (reached.insert(target).second && data.contains(target)) pending.push_back(target);
    }
  }
  return reached;
}

}  // namespace

void TakeLeftOutFromBase(const std::set<std::string>& left_out, const ObjectSummary& base,
                         ObjectSummary& edited) {
  if (left_out.empty()) return;
  std::map<std::string, const FunctionDescription*> functions;
  for (const FunctionDescription& function : base.functions) functions[function.name] = &function;
  std::map<std::string, const DataDescription*> data;
  for (const DataDescription& datum : base.data) data[datum.name] = &datum;

  for (FunctionDescription& function : edited.functions) {
    if (!left_out.contains(function.name)) continue;
    // Known by its hash, so the base has it.
    function = *functions.at(function.name);
    // It has a place in the edited object all the same, which the other one's means nothing in.
    SymbolDetails& details = edited.details[function.name];
    const auto place = details.place;
    details = base.details.at(function.name);
    details.place = place;
  }
  for (const std::string& name : Reached(left_out, base, data)) {
    if (base.undefined.contains(name)) edited.undefined.insert(name);
    const auto datum = data.find(name);
    // The others are in the edited object, changed or not.
    if (datum == data.end() || edited.details.contains(name)) continue;
    edited.data.push_back(*datum->second);
    edited.details[name] = base.details.at(name);
    edited.details[name].place = {};
  }
}

}  // namespace mend::patchc
