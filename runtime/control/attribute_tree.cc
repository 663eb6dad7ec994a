#include "runtime/control/attribute_tree.h"

#include <cerrno>
#include <functional>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "runtime/base/errno_status.h"
#include "runtime/patch/module_parameters.h"
#include "runtime/patch/patch_name.h"
#include "runtime/safepoint/unregistered_stack.h"

namespace mend {
namespace {

struct Node {
  std::string name;
  std::vector<Node> children;  // of a folder, in the order of its listing
  bool folder = true;
  bool is_patch = false;                              // the name is a patch's, which has others too
  std::function<absl::StatusOr<std::string>()> read;  // none: cannot be read
  std::function<absl::Status(std::string_view)> write;  // none: cannot be written
};

// Whose tree it is.
struct Source {
  PatchRegistry* registry;
  ModuleRegistry* modules;  // may be null
  const std::string* program;
};

Node Folder(std::string name) {
  Node node;
  node.name = std::move(name);
  return node;
}

Node Attribute(std::string name) {
  Node node;
  node.name = std::move(name);
  node.folder = false;
  return node;
}

Node Attribute(std::string name, std::string value) {
  Node node = Attribute(std::move(name));
  node.read = [value = std::move(value)] { return value; };
  return node;
}

std::string Bit(bool value) { return value ? "1" : "0"; }

std::optional<bool> ParseBool(std::string_view text) {
  bool value = false;
  return ParseKernelBool(text, &value) ? std::optional<bool>(value) : std::nullopt;
}

absl::Status WriteEnabled(PatchRegistry* registry, const std::string& patch,
                          std::string_view text) {
  const std::optional<bool> enable = ParseBool(text);
  if (!enable.has_value()) return ErrnoStatus(EINVAL, "'enabled' takes a boolean");
  return registry->SetEnabled(patch, *enable);
}

absl::Status WriteForce(PatchRegistry* registry, const std::string& patch, std::string_view text) {
  const std::optional<bool> force = ParseBool(text);
  if (!force.has_value()) return ErrnoStatus(EINVAL, "'force' takes a boolean");
  return *force ? registry->Force(patch) : absl::OkStatus();
}

Node PatchFolder(PatchRegistry* registry, const PatchStatus& patch, const std::string& program) {
  Node folder = Folder(patch.name);
  folder.is_patch = true;
  std::vector<Node>& files = folder.children;
  files.push_back(Attribute("enabled", Bit(patch.enabled)));
  files.back().write = [registry, name = ExactName(patch.name)](std::string_view text) {
    return WriteEnabled(registry, name, text);
  };
  files.push_back(Attribute("transition", Bit(patch.transition)));
  files.push_back(Attribute("force"));
  files.back().write = [registry, name = ExactName(patch.name)](std::string_view text) {
    return WriteForce(registry, name, text);
  };
  files.push_back(Attribute("replace", Bit(patch.replace)));
  files.push_back(Attribute("replace_set", patch.replace_set));
  files.push_back(Attribute("stack_order", absl::StrCat(patch.stack_order)));
  for (const ObjectStatus& object : patch.objects) {
    // Nops are made for the time of the transition and have folders too, as in the kernel.
    Node node = Folder(object.name.empty() ? program : object.name);
    node.children.push_back(Attribute("patched", Bit(object.patched)));
    for (const FunctionStatus& function : patch.functions) {
      if (function.object != object.name) continue;
      node.children.push_back(Folder(absl::StrCat(function.name, ",", function.sympos)));
    }
    files.push_back(std::move(node));
  }
  return folder;
}

Node LivepatchFolder(const Source& source) {
  Node folder = Folder("livepatch");
  for (const PatchStatus& patch : source.registry->Status().patches) {
    if (patch.enabled || patch.transition) {
      folder.children.push_back(PatchFolder(source.registry, patch, *source.program));
    }
  }
  return folder;
}

// What has parameters: a registry of patches or of guest modules.
template <typename Registry>
Node ParametersFolder(Registry* registry, const std::string& module,
                      const std::vector<std::string>& names) {
  Node folder = Folder("parameters");
  for (const std::string& name : names) {
    Node parameter = Attribute(name);
    parameter.read = [registry, module, name] { return registry->GetParameter(module, name); };
    parameter.write = [registry, module, name](std::string_view value) {
      return registry->SetParameter(module, name, std::string(value));
    };
    folder.children.push_back(std::move(parameter));
  }
  return folder;
}

Node ModuleFolder(const Source& source) {
  Node folder = Folder("module");
  PatchRegistry* const registry = source.registry;
  for (const PatchStatus& patch : registry->Status().patches) {
    Node module = Folder(patch.name);
    module.is_patch = true;
    const std::string exact = ExactName(patch.name);
    module.children.push_back(ParametersFolder(registry, exact, patch.parameters));
    Node references = Attribute("refcnt");
    references.read = [registry, name = exact]() -> absl::StatusOr<std::string> {
      const absl::StatusOr<int> count = registry->References(name);
      if (!count.ok()) return count.status();
      return absl::StrCat(*count);
    };
    module.children.push_back(std::move(references));
    folder.children.push_back(std::move(module));
  }
  if (source.modules == nullptr) return folder;
  for (const ModuleStatus& status : source.modules->Status()) {
    Node module = Folder(status.name);
    module.children.push_back(ParametersFolder(source.modules, status.name, status.parameters));
    module.children.push_back(Attribute("refcnt", absl::StrCat(status.references)));
    folder.children.push_back(std::move(module));
  }
  return folder;
}

Node ThreadsFolder(PatchRegistry* registry) {
  Node folder = Folder("threads");
  for (const ThreadStatus& status : registry->Threads()) {
    if (status.tid == 0) continue;  // a suspended context
    Node thread = Folder(absl::StrCat(status.tid));
    thread.children.push_back(Attribute("patch_state", absl::StrCat(status.patch_state)));
    folder.children.push_back(std::move(thread));
  }
  Node stack = Attribute("unregistered_stack");
  stack.read = [registry] { return registry->UnregisteredStackSeen(); };
  stack.write = [](std::string_view text) -> absl::Status {
    if (text != "ignore" && text != "refuse") {
      return ErrnoStatus(EINVAL, "'unregistered_stack' takes 'ignore' or 'refuse'");
    }
    IgnoreUnregisteredStacks(text == "ignore");
    return absl::OkStatus();
  };
  folder.children.push_back(std::move(stack));
  return folder;
}

// The part of the tree that `root` names; everything when it is empty.
Node BuildTree(const Source& source, std::string_view root) {
  Node tree = Folder("");
  const bool all = root.empty();
  if (all || root == "livepatch") tree.children.push_back(LivepatchFolder(source));
  if (all || root == "module") tree.children.push_back(ModuleFolder(source));
  if (all || root == "threads") tree.children.push_back(ThreadsFolder(source.registry));
  return tree;
}

// The node that the segments from the given one on lead to; null without one. The names of patches
// mean what they mean elsewhere: a bare one the newest generation that is there. A guest module
// comes before a patch of its name, which is NAME~1 without doubt.
Node* FindBelow(Node& node, const std::vector<std::string>& segments, size_t depth) {
  if (depth == segments.size()) return &node;
  for (size_t i = node.children.size(); i-- > 0;) {
    Node& child = node.children[i];
    const std::string& wanted = segments[depth];
    if (child.is_patch ? !MayMean(wanted, child.name) : child.name != wanted) continue;
    if (Node* const found = FindBelow(child, segments, depth + 1)) return found;
  }
  return nullptr;
}

absl::StatusOr<Node> FindNode(const Source& source, std::string_view path) {
  const std::vector<std::string> segments =
      absl::StrSplit(absl::string_view(path.data(), path.size()), '/', absl::SkipEmpty());
  Node tree = BuildTree(source, segments.empty() ? "" : std::string_view(segments[0]));
  Node* const found = FindBelow(tree, segments, 0);
  if (found == nullptr) {
    return ErrnoStatus(ENOENT, absl::StrCat("there is no attribute '",
                                            absl::string_view(path.data(), path.size()), "'"));
  }
  return std::move(*found);
}

absl::Status AttributeError(int error, std::string_view path, const char* what) {
  return ErrnoStatus(error,
                     absl::StrCat("'", absl::string_view(path.data(), path.size()), "' ", what));
}

}  // namespace

absl::StatusOr<std::vector<std::string>> AttributeTree::List(std::string_view path) const {
  const absl::StatusOr<Node> node = FindNode({registry_, modules_, &program_}, path);
  if (!node.ok()) return node.status();
  if (!node->folder) return AttributeError(ENOTDIR, path, "is an attribute, not a folder");
  std::vector<std::string> names;
  for (const Node& child : node->children) names.push_back(child.name);
  return names;
}

absl::StatusOr<std::string> AttributeTree::Get(std::string_view path) const {
  const absl::StatusOr<Node> node = FindNode({registry_, modules_, &program_}, path);
  if (!node.ok()) return node.status();
  if (node->folder) return AttributeError(EISDIR, path, "is a folder");
  if (!node->read) return AttributeError(EACCES, path, "cannot be read");
  return node->read();
}

absl::Status AttributeTree::Set(std::string_view path, std::string_view value) const {
  const absl::StatusOr<Node> node = FindNode({registry_, modules_, &program_}, path);
  if (!node.ok()) return node.status();
  if (node->folder) return AttributeError(EISDIR, path, "is a folder");
  if (!node->write) return AttributeError(EACCES, path, "cannot be written");
  return node->write(value);
}

}  // namespace mend
