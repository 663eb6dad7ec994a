// AttributeTree: the kernel's livepatch control files, with their names, modes, values and errors
// (rules 1.8), plus one folder per thread and per module.
//
//   livepatch/PATCH/{enabled,transition,force,replace,stack_order}
//   livepatch/PATCH/OBJECT/patched, livepatch/PATCH/OBJECT/FUNCTION,SYMPOS/
//   module/MODULE/refcnt, module/MODULE/parameters/NAME    patch modules and guest modules
//   threads/TID/patch_state
//   threads/unregistered_stack    none, ignored, or where a thread was seen on one
//                                 (unregistered_stack.h); takes ignore or refuse
//
// The hosted program itself appears as an object under its own name; guest modules that are not
// loaded appear too. A patch has a folder while it is enabled or in transition; its module has one
// until it is removed.
//
// Thread safety: all methods are thread-safe; the tree is made from the registry at each call, so
// it keeps nothing. Errors carry their errno ("ENOENT: ...").
#ifndef MEND_RUNTIME_CONTROL_ATTRIBUTE_TREE_H_
#define MEND_RUNTIME_CONTROL_ATTRIBUTE_TREE_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/module/module_registry.h"
#include "runtime/transition/patch_registry.h"

namespace mend {

class AttributeTree {
 public:
  // The registries must outlive the tree; `modules` may be null.
  AttributeTree(PatchRegistry* registry, ModuleRegistry* modules, std::string program)
      : registry_(registry), modules_(modules), program_(std::move(program)) {}

  // The names in a folder. ENOENT; ENOTDIR.
  absl::StatusOr<std::vector<std::string>> List(std::string_view path) const;
  // An attribute's value. ENOENT; EISDIR; EACCES when it can only be written.
  absl::StatusOr<std::string> Get(std::string_view path) const;
  // Writes an attribute, as a write(2) to the kernel's file. ENOENT; EISDIR; EACCES when it can
  // only be read; EINVAL, EBUSY as the attribute's rules say. Returns once the transition that it
  // asks for has started.
  absl::Status Set(std::string_view path, std::string_view value) const;

 private:
  PatchRegistry* const registry_;
  ModuleRegistry* const modules_;
  const std::string program_;
};

}  // namespace mend

#endif  // MEND_RUNTIME_CONTROL_ATTRIBUTE_TREE_H_
