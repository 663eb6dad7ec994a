#include "jit/link/symbol_index.h"

#include <algorithm>
#include <tuple>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "llvm/Demangle/Demangle.h"
#include "runtime/format/function_request.h"

namespace mend::jit {

std::string Demangled(std::string_view symbol) {
  return symbol.substr(0, 2) == "_Z" ? llvm::demangle(symbol) : std::string(symbol);
}

uint32_t SymbolIndex::AddUnit(std::string file) {
  files_.push_back(std::move(file));
  return static_cast<uint32_t>(files_.size() - 1);
}

std::string SymbolIndex::ShownObject() const {
  return object_.empty() ? "the program" : absl::StrCat("module '", object_, "'");
}

void SymbolIndex::Add(std::vector<HostedSymbol> symbols) {
  for (HostedSymbol& symbol : symbols) symbols_.push_back(std::move(symbol));
}

void SymbolIndex::Finish() {
  by_name_.clear();
  by_address_.clear();
  for (const HostedSymbol& symbol : symbols_) {
    by_name_.push_back(&symbol);
    if (symbol.is_function) by_address_.push_back(&symbol);
  }
  std::sort(by_name_.begin(), by_name_.end(), [](const HostedSymbol* a, const HostedSymbol* b) {
    return std::tie(a->name, a->unit, a->address) < std::tie(b->name, b->unit, b->address);
  });
  std::sort(by_address_.begin(), by_address_.end(),
            [](const HostedSymbol* a, const HostedSymbol* b) { return a->address < b->address; });
  unsigned position = 0;
  const std::string* previous = nullptr;
  for (const HostedSymbol* symbol : by_name_) {
    if (!symbol->is_function) continue;
    position = previous != nullptr && *previous == symbol->name ? position + 1 : 1;
    previous = &symbol->name;
    // The index owns the symbols; they are const for everybody else.
    const_cast<HostedSymbol*>(symbol)->sympos = position;
  }
}

std::pair<SymbolIndex::Order::const_iterator, SymbolIndex::Order::const_iterator>
SymbolIndex::Named(std::string_view name) const {
  struct ByName {
    bool operator()(const HostedSymbol* a, std::string_view b) const { return a->name < b; }
    bool operator()(std::string_view a, const HostedSymbol* b) const { return a < b->name; }
  };
  return std::equal_range(by_name_.begin(), by_name_.end(), name, ByName());
}

const HostedSymbol* SymbolIndex::FindGlobal(std::string_view name) const {
  const auto [begin, end] = Named(name);
  const auto it = std::find_if(
      begin, end, [](const HostedSymbol* symbol) { return symbol->binding != Binding::kLocal; });
  return it == end ? nullptr : *it;
}

const HostedSymbol* SymbolIndex::FindInUnit(uint32_t unit, std::string_view name) const {
  const auto [begin, end] = Named(name);
  const HostedSymbol* found = nullptr;
  for (auto it = begin; it != end; ++it) {
    if ((*it)->unit != unit) continue;
    if (found != nullptr) return nullptr;
    found = *it;
  }
  return found;
}

const HostedSymbol* SymbolIndex::FindEntry(CodeAddress entry) const {
  const auto at = std::lower_bound(
      by_address_.begin(), by_address_.end(), entry.value,
      [](const HostedSymbol* symbol, uintptr_t address) { return symbol->address < address; });
  return at != by_address_.end() && (*at)->address == entry.value ? *at : nullptr;
}

std::vector<const HostedSymbol*> SymbolIndex::FunctionsNamed(std::string_view name) const {
  std::vector<const HostedSymbol*> functions;
  const auto [begin, end] = Named(name);
  std::copy_if(begin, end, std::back_inserter(functions),
               [](const HostedSymbol* symbol) { return symbol->is_function; });
  return functions;
}

std::vector<const HostedSymbol*> SymbolIndex::SymbolsNamed(std::string_view name) const {
  const auto [begin, end] = Named(name);
  return {begin, end};
}

std::vector<const HostedSymbol*> SymbolIndex::MatchDemangled(std::string_view name) const {
  std::vector<const HostedSymbol*> matches;
  for (const HostedSymbol* symbol : by_name_) {
    if (!symbol->is_function || symbol->name.compare(0, 2, "_Z") != 0) continue;
    if (IsNameOfFunction(name, symbol->name, Demangled(symbol->name))) matches.push_back(symbol);
  }
  return matches;
}

absl::StatusOr<const HostedSymbol*> SymbolAtPosition(const std::vector<const HostedSymbol*>& found,
                                                     const std::string& name, unsigned position,
                                                     const std::string& object) {
  if (found.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("EINVAL: symbol '", name, "' not found in symbol table"));
  }
  if (position == 0 && found.size() > 1) {
    return absl::InvalidArgumentError(absl::StrCat("EINVAL: unresolvable ambiguity for symbol '",
                                                   name, "' in object '", object, "'"));
  }
  if (position > found.size()) {
    return absl::InvalidArgumentError(absl::StrCat("EINVAL: symbol position ", position,
                                                   " for symbol '", name, "' in object '", object,
                                                   "' not found"));
  }
  return found[position == 0 ? 0 : position - 1];
}

absl::StatusOr<const HostedSymbol*> SymbolIndex::FindFunction(std::string_view text) const {
  const FunctionRequest request = ParseFunctionRequest(text);
  std::vector<const HostedSymbol*> matches = FunctionsNamed(request.function);
  if (matches.empty()) matches = MatchDemangled(request.function);
  const std::string shown = ShownObject();
  if (matches.empty()) {
    return absl::NotFoundError(
        absl::StrCat(shown, " has no function named ", std::string(request.function)));
  }
  if (request.position > matches.size()) {
    return absl::NotFoundError(absl::StrCat(shown, " has only ", matches.size(),
                                            " functions named ", std::string(request.function)));
  }
  if (request.position != 0) return matches[request.position - 1];
  if (matches.size() == 1) return matches[0];
  std::string message = absl::StrCat(std::string(request.function), " is ambiguous:");
  for (size_t i = 0; i < matches.size(); ++i) {
    absl::StrAppend(&message, i == 0 ? " " : "; ", matches[i]->name, ",", matches[i]->sympos, " (",
                    Demangled(matches[i]->name), " in ", file(matches[i]->unit), ")");
  }
  return absl::FailedPreconditionError(message);
}

std::vector<const HostedSymbol*> SymbolIndex::Functions() const { return by_address_; }

FunctionSite SymbolIndex::Site(const HostedSymbol& function) const {
  FunctionSite site;
  site.object = object_;
  site.unit = file(function.unit);
  site.name = function.name;
  site.sympos = function.sympos;
  site.entry = CodeAddress{function.address};
  site.size = function.size;
  site.slot = function.slot;
  return site;
}

void SymbolIndex::AddVersion(CodeRange text, std::string name) {
  MutexLock lock(&versions_mu_);
  versions_[text.begin.value] = Version{text.end.value, std::move(name)};
}

void SymbolIndex::RemoveVersion(CodeRange text) {
  MutexLock lock(&versions_mu_);
  versions_.erase(text.begin.value);
}

std::string SymbolIndex::NameAt(CodeAddress pc) const {
  const auto after = std::upper_bound(
      by_address_.begin(), by_address_.end(), pc.value,
      [](uintptr_t address, const HostedSymbol* symbol) { return address < symbol->address; });
  if (after != by_address_.begin()) {
    const HostedSymbol* symbol = *std::prev(after);
    if (pc.value < symbol->address + std::max<uint64_t>(symbol->size, 1)) {
      return symbol->name;
    }
  }
  MutexLock lock(&versions_mu_);
  const auto version = versions_.upper_bound(pc.value);
  if (version == versions_.begin()) return "";
  const auto& [begin, found] = *std::prev(version);
  return pc.value < found.end ? found.name : "";
}

}  // namespace mend::jit
