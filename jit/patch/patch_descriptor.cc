#include "jit/patch/patch_descriptor.h"

#include <string.h>

#include <limits>

#include "absl/strings/str_cat.h"

namespace mend::jit {
namespace {

// The layouts of <mend/livepatch.h>.
struct RawFunction {
  uintptr_t old_name;
  uintptr_t new_function;
  uint64_t old_sympos;
};
struct RawObject {
  uintptr_t name;
  uintptr_t functions;
  uintptr_t pre_patch;
  uintptr_t post_patch;
  uintptr_t pre_unpatch;
  uintptr_t post_unpatch;
};
struct RawState {
  uint64_t id;
  uint32_t version;
  uint32_t padding;
  uintptr_t data;
};
struct RawStateOwner {
  uint64_t id;
  uintptr_t setup;
  uintptr_t enable;
  uintptr_t disable;
  uintptr_t release;
  uintptr_t shadow_destructor;
  uint64_t owns_shadow;
};
struct RawPatch {
  uintptr_t objects;
  uintptr_t states;
  uint8_t replace;
};

// MEND_OBJECTS_END has this in place of a name.
constexpr uintptr_t kEndOfObjects = ~uintptr_t{0};
// Rules I3.
constexpr size_t kFunctionNameMax = 511;
constexpr size_t kObjectNameMax = 55;
constexpr size_t kEntriesMax = 1 << 20;

absl::Status Invalid(const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat("EINVAL: ", what));
}

class Reader {
 public:
  Reader(const LinkedData& data, const PatchDeclarations& declared)
      : data_(data), declared_(declared) {}

  absl::Status Read() {
    RawPatch raw;
    if (!Get(declared_.patch, &raw))
      return Invalid("the patch's descriptor is not part of the patch");
    descriptor_.address = reinterpret_cast<mend_patch*>(declared_.patch);
    descriptor_.replace = raw.replace != 0;
    if (raw.objects != 0 || !declared_.is_source_patch) {
      if (absl::Status status = ReadObjects(raw.objects); !status.ok()) return status;
    }
    if (raw.states != 0) {
      if (absl::Status status = ReadStates(raw.states); !status.ok()) return status;
    }
    for (const auto& [begin, size] : declared_.state_owners) {
      if (absl::Status status = ReadStateOwners(begin, size); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  PatchDescriptor Take() { return std::move(descriptor_); }

 private:
  template <typename T>
  bool Get(uintptr_t address, T* value) {
    if (address % alignof(T) != 0 || !data_.Holds(address, sizeof(T))) return false;
    memcpy(value, reinterpret_cast<const void*>(address), sizeof(T));
    descriptor_.parts.emplace_back(address, sizeof(T));
    return true;
  }

  absl::Status ReadObjects(uintptr_t at) {
    for (size_t i = 0; i < kEntriesMax; ++i, at += sizeof(RawObject)) {
      RawObject raw;
      if (!Get(at, &raw)) return Invalid("the patch's array of objects has no end");
      if (raw.name == kEndOfObjects) {
        if (i == 0 && !declared_.is_source_patch) return Invalid("the patch has no objects");
        return absl::OkStatus();
      }
      if (absl::Status status = ReadObject(raw); !status.ok()) return status;
    }
    return Invalid("the patch has too many objects");
  }

  absl::Status ReadObject(const RawObject& raw) {
    DescribedObject object;
    if (raw.name != 0) {
      absl::StatusOr<std::string> name = data_.String(raw.name);
      if (!name.ok()) return name.status();
      if (name->empty() || name->size() > kObjectNameMax) {
        return Invalid(absl::StrCat("an object's name is empty or longer than ", kObjectNameMax));
      }
      object.name = *std::move(name);
    }
    for (const uintptr_t callback :
         {raw.pre_patch, raw.post_patch, raw.pre_unpatch, raw.post_unpatch}) {
      if (callback != 0 && data_.FindText(CodeAddress{callback}).empty()) {
        return Invalid(absl::StrCat("a callback of object '", object.name, "' is no function"));
      }
    }
    object.callbacks.pre_patch = reinterpret_cast<int (*)(mend_object*)>(raw.pre_patch);
    object.callbacks.post_patch = reinterpret_cast<void (*)(mend_object*)>(raw.post_patch);
    object.callbacks.pre_unpatch = reinterpret_cast<void (*)(mend_object*)>(raw.pre_unpatch);
    object.callbacks.post_unpatch = reinterpret_cast<void (*)(mend_object*)>(raw.post_unpatch);
    if (raw.functions != 0) {
      if (absl::Status status = ReadFunctions(raw.functions, object); !status.ok()) return status;
    }
    descriptor_.objects.push_back(std::move(object));
    return absl::OkStatus();
  }

  absl::Status ReadFunctions(uintptr_t at, DescribedObject& object) {
    for (size_t i = 0; i < kEntriesMax; ++i, at += sizeof(RawFunction)) {
      RawFunction raw;
      if (!Get(at, &raw)) return Invalid("the patch has an array of functions without an end");
      if (raw.old_name == 0 && raw.new_function == 0) return absl::OkStatus();
      if (declared_.is_source_patch) {
        return Invalid("a source patch names a function to replace; edit that function instead");
      }
      if (raw.old_name == 0) return Invalid("a function of the patch has no old name");
      absl::StatusOr<std::string> name = data_.String(raw.old_name);
      if (!name.ok()) return name.status();
      if (name->empty() || name->size() > kFunctionNameMax) {
        return Invalid(
            absl::StrCat("a function's name is empty or longer than ", kFunctionNameMax));
      }
      if (raw.new_function == 0) {
        return Invalid(absl::StrCat("function '", *name, "' has no replacement"));
      }
      if (raw.old_sympos > std::numeric_limits<unsigned>::max()) {
        return Invalid(absl::StrCat("symbol position ", raw.old_sympos, " for symbol '", *name,
                                    "' is too large"));
      }
      DescribedFunction function;
      function.old_name = *std::move(name);
      function.sympos = static_cast<unsigned>(raw.old_sympos);
      function.entry = CodeAddress{raw.new_function};
      function.text = data_.FindText(function.entry);
      if (function.text.empty()) {
        return absl::NotFoundError(absl::StrCat("ENOENT: kallsyms size lookup failed for '",
                                                function.old_name, "' replacement"));
      }
      function.has_stub = data_.HasStub(function.entry);
      object.functions.push_back(std::move(function));
    }
    return Invalid("the patch has too many functions");
  }

  absl::Status ReadStates(uintptr_t at) {
    for (size_t i = 0; i < kEntriesMax; ++i, at += sizeof(RawState)) {
      RawState raw;
      if (!Get(at, &raw)) return Invalid("the patch's array of states has no end");
      if (raw.id == 0) return absl::OkStatus();
      descriptor_.states.push_back(
          {.id = raw.id, .version = raw.version, .record = reinterpret_cast<mend_state*>(at)});
    }
    return Invalid("the patch has too many states");
  }

  absl::Status ReadStateOwners(uintptr_t begin, size_t size) {
    if (size % sizeof(RawStateOwner) != 0) {
      return Invalid("the patch's owners of states are damaged");
    }
    for (uintptr_t at = begin; at < begin + size; at += sizeof(RawStateOwner)) {
      RawStateOwner raw;
      if (!Get(at, &raw)) return Invalid("the patch's owners of states are damaged");
      if (absl::Status status = ReadStateOwner(raw); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  // Its functions and its shadow variables may come from two entries.
  absl::Status ReadStateOwner(const RawStateOwner& raw) {
    SystemState* owned = nullptr;
    for (SystemState& state : descriptor_.states) {
      if (state.id == raw.id) owned = &state;
    }
    if (owned == nullptr) {
      return Invalid(absl::StrCat("the patch has no state ", raw.id, ", but an owner for it"));
    }
    for (const uintptr_t function :
         {raw.setup, raw.enable, raw.disable, raw.release, raw.shadow_destructor}) {
      if (function != 0 && data_.FindText(CodeAddress{function}).empty()) {
        return Invalid(absl::StrCat("a function of the owner of state ", raw.id, " is none"));
      }
    }
    StateOwner& owner = owned->owner;
    const bool is_shadow = raw.owns_shadow != 0;
    if (is_shadow ? owner.owns_shadow
                  : owner.setup != nullptr || owner.enable != nullptr || owner.disable != nullptr ||
                        owner.release != nullptr) {
      return Invalid(absl::StrCat("state ", raw.id, " has two owners"));
    }
    if (is_shadow) {
      owner.owns_shadow = true;
      owner.shadow_dtor = reinterpret_cast<mend_shadow_dtor>(raw.shadow_destructor);
      return absl::OkStatus();
    }
    owner.setup = reinterpret_cast<int (*)(mend_state*)>(raw.setup);
    owner.enable = reinterpret_cast<void (*)(mend_state*)>(raw.enable);
    owner.disable = reinterpret_cast<void (*)(mend_state*)>(raw.disable);
    owner.release = reinterpret_cast<void (*)(mend_state*)>(raw.release);
    return absl::OkStatus();
  }

  const LinkedData& data_;
  const PatchDeclarations& declared_;
  PatchDescriptor descriptor_;
};

}  // namespace

absl::StatusOr<PatchDescriptor> ReadPatchDescriptor(const LinkedData& data,
                                                    const PatchDeclarations& declared,
                                                    const std::string& module_name) {
  if (declared.patch == 0 && declared.is_source_patch) {
    return Invalid("the patch declares what belongs to a state, but no states: MEND_LIVEPATCH");
  }
  if (declared.patch == 0) {
    return Invalid(absl::StrCat("module ", module_name, " is not marked as a livepatch module"));
  }
  Reader reader(data, declared);
  absl::Status read = reader.Read();
  if (!read.ok()) return read;
  return reader.Take();
}

}  // namespace mend::jit
