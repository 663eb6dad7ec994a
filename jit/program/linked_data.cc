#include "jit/program/linked_data.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <string.h>

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"

namespace mend::jit {
namespace {

// The layout of struct mend_parameter of <mend/livepatch.h>.
struct ParameterEntry {
  uintptr_t name;
  uintptr_t variable;
  uint64_t kind;
  uint64_t size;
};

struct ParameterType {
  ParameterKind kind;
  size_t size;
};
constexpr ParameterType kParameterTypes[] = {{ParameterKind::kBool, sizeof(bool)},
                                             {ParameterKind::kInt, sizeof(int)},
                                             {ParameterKind::kLong, sizeof(long)},
                                             {ParameterKind::kString, sizeof(char*)}};

constexpr size_t kStringMax = size_t{64} << 10;

}  // namespace

bool LinkedData::Holds(uintptr_t address, size_t size) const {
  const uintptr_t end = DataEnd(address);
  return end != 0 && size <= end - address;
}

bool LinkedData::MayHoldParameter(uintptr_t address, size_t size, ParameterKind /*kind*/) const {
  const uintptr_t end = WritableEnd(address);
  return end != 0 && size <= end - address;
}

absl::StatusOr<std::string> LinkedData::String(uintptr_t address) const {
  const uintptr_t end = DataEnd(address);
  if (end == 0) return absl::InvalidArgumentError("EINVAL: a string outside of the module");
  const size_t most = std::min(kStringMax, static_cast<size_t>(end - address));
  const char* const bytes = reinterpret_cast<const char*>(address);
  const size_t size = strnlen(bytes, most);
  if (size == most) return absl::InvalidArgumentError("EINVAL: a string without an end");
  return std::string(bytes, size);
}

absl::Status LinkedData::AddParameters(uintptr_t table, size_t size,
                                       ModuleParameters& parameters) const {
  if (size % sizeof(ParameterEntry) != 0) {
    return absl::InvalidArgumentError("EINVAL: the module's table of parameters is damaged");
  }
  for (uintptr_t at = table; at < table + size; at += sizeof(ParameterEntry)) {
    ParameterEntry entry;
    memcpy(&entry, reinterpret_cast<const void*>(at), sizeof(entry));
    absl::StatusOr<std::string> name = String(entry.name);
    if (!name.ok()) return name.status();
    const bool known = entry.kind >= 1 && entry.kind <= std::size(kParameterTypes);
    const ParameterType* const type = known ? &kParameterTypes[entry.kind - 1] : nullptr;
    if (type == nullptr || type->size != entry.size) {
      return absl::InvalidArgumentError(
          absl::StrCat("EINVAL: parameter '", *name, "' has a variable of another type"));
    }
    if (!MayHoldParameter(entry.variable, entry.size, type->kind)) {
      return absl::InvalidArgumentError(absl::StrCat("EINVAL: the variable of parameter '", *name,
                                                     "' is constant, or not the module's own"));
    }
    absl::Status added = parameters.Add(*name, type->kind, reinterpret_cast<void*>(entry.variable));
    if (!added.ok()) return added;
  }
  return absl::OkStatus();
}

CodeRange FindTextFrom(const HostedProgram& object, CodeAddress entry) {
  for (const HostedProgram* hosted = &object; hosted != nullptr; hosted = hosted->parent) {
    const HostedSymbol* const symbol = hosted->index.FindEntry(entry);
    if (symbol != nullptr) return {entry, entry + symbol->size};
  }
  Dl_info info;
  void* extra = nullptr;
  void* const address = reinterpret_cast<void*>(entry.value);
  if (dladdr1(address, &info, &extra, RTLD_DL_SYMENT) == 0 || info.dli_saddr != address ||
      extra == nullptr) {
    return {};
  }
  const auto* const exported = static_cast<const ElfW(Sym)*>(extra);
  const unsigned type = ELF64_ST_TYPE(exported->st_info);
  if (type != STT_FUNC) return {};
  return {entry, entry + exported->st_size};
}

}  // namespace mend::jit
