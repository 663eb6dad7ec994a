#include "runtime/control/attribute_tree.h"

#include <algorithm>
#include <cerrno>
#include <functional>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "runtime/control/refusal.h"

namespace mend {
namespace {

struct Node {
  std::string name;
  std::vector<Node> children;  // of a folder, in the order of its listing
  bool folder = true;
  std::optional<std::string> value;                     // none: cannot be read
  std::function<absl::Status(std::string_view)> write;  // none: cannot be written
};

Node Folder(std::string name) {
  Node node;
  node.name = std::move(name);
  return node;
}

Node Attribute(std::string name, std::optional<std::string> value) {
  Node node;
  node.name = std::move(name);
  node.folder = false;
  node.value = std::move(value);
  return node;
}

std::string Bit(bool value) { return value ? "1" : "0"; }

// As the kernel's kstrtobool: only the first characters count.
std::optional<bool> ParseBool(std::string_view text) {
  if (text.empty()) return std::nullopt;
  switch (text[0]) {
    case 'y':
    case 'Y':
    case 't':
    case 'T':
    case '1':
      return true;
    case 'n':
    case 'N':
    case 'f':
    case 'F':
    case '0':
      return false;
    case 'o':
    case 'O':
      if (text.size() > 1 && (text[1] == 'n' || text[1] == 'N')) return true;
      if (text.size() > 1 && (text[1] == 'f' || text[1] == 'F')) return false;
      return std::nullopt;
    default:
      return std::nullopt;
  }
}

absl::Status WriteEnabled(PatchRegistry* registry, const PatchStatus& patch,
                          std::string_view text) {
  const std::optional<bool> enable = ParseBool(text);
  if (!enable.has_value()) return ErrnoStatus(EINVAL, "'enabled' takes a boolean");
  if (*enable == patch.enabled) {
    return ErrnoStatus(EINVAL, absl::StrCat("patch '", patch.name, "' is ",
                                            patch.enabled ? "enabled" : "disabled", " already"));
  }
  if (patch.transition) return registry->Reverse(patch.name);
  if (!*enable) return registry->Disable(patch.name);
  return ErrnoStatus(EINVAL, absl::StrCat("patch '", patch.name, "' is disabled"));
}

absl::Status WriteForce(PatchRegistry* registry, const PatchStatus& patch, std::string_view text) {
  const std::optional<bool> force = ParseBool(text);
  if (!force.has_value()) return ErrnoStatus(EINVAL, "'force' takes a boolean");
  if (!*force) return absl::OkStatus();
  if (!patch.transition) {
    return ErrnoStatus(EINVAL, absl::StrCat("patch '", patch.name, "' is not in transition"));
  }
  return registry->Force(patch.name);
}

Node& FindOrAdd(std::vector<Node>* nodes, const std::string& name) {
  for (Node& node : *nodes) {
    if (node.name == name) return node;
  }
  nodes->push_back(Folder(name));
  return nodes->back();
}

Node PatchFolder(PatchRegistry* registry, const PatchStatus& patch, const std::string& program) {
  Node folder = Folder(patch.name);
  std::vector<Node>& files = folder.children;
  files.push_back(Attribute("enabled", Bit(patch.enabled)));
  files.back().write = [registry, patch](std::string_view text) {
    return WriteEnabled(registry, patch, text);
  };
  files.push_back(Attribute("transition", Bit(patch.transition)));
  files.push_back(Attribute("force", std::nullopt));
  files.back().write = [registry, patch](std::string_view text) {
    return WriteForce(registry, patch, text);
  };
  files.push_back(Attribute("replace", Bit(patch.replace)));
  files.push_back(Attribute("stack_order", absl::StrCat(patch.stack_order)));
  for (const FunctionStatus& function : patch.functions) {
    // Nops are made for the time of the patch and have a folder too, as in the kernel.
    Node& object = FindOrAdd(&files, function.object.empty() ? program : function.object);
    if (object.children.empty()) object.children.push_back(Attribute("patched", Bit(true)));
    object.children.push_back(Folder(absl::StrCat(function.name, ",", function.sympos)));
  }
  return folder;
}

Node LivepatchFolder(PatchRegistry* registry, const std::string& program) {
  Node folder = Folder("livepatch");
  for (const PatchStatus& patch : registry->Status().patches) {
    if (patch.enabled || patch.transition) {
      folder.children.push_back(PatchFolder(registry, patch, program));
    }
  }
  return folder;
}

Node ModuleFolder(PatchRegistry* registry) {
  Node folder = Folder("module");
  for (const PatchStatus& patch : registry->Status().patches) {
    Node module = Folder(patch.name);
    module.children.push_back(Folder("parameters"));
    module.children.push_back(Attribute("refcnt", Bit(patch.enabled || patch.transition)));
    folder.children.push_back(std::move(module));
  }
  return folder;
}

Node ThreadsFolder(PatchRegistry* registry) {
  Node folder = Folder("threads");
  for (const ThreadStatus& status : registry->Threads()) {
    Node thread = Folder(absl::StrCat(status.tid));
    thread.children.push_back(Attribute("patch_state", absl::StrCat(status.patch_state)));
    folder.children.push_back(std::move(thread));
  }
  return folder;
}

// The part of the tree that `root` names; everything when it is empty.
Node BuildTree(PatchRegistry* registry, const std::string& program, std::string_view root) {
  Node tree = Folder("");
  const bool all = root.empty();
  if (all || root == "livepatch") tree.children.push_back(LivepatchFolder(registry, program));
  if (all || root == "module") tree.children.push_back(ModuleFolder(registry));
  if (all || root == "threads") tree.children.push_back(ThreadsFolder(registry));
  return tree;
}

absl::StatusOr<Node> FindNode(PatchRegistry* registry, const std::string& program,
                              std::string_view path) {
  const std::vector<std::string> segments =
      absl::StrSplit(absl::string_view(path.data(), path.size()), '/', absl::SkipEmpty());
  Node node = BuildTree(registry, program, segments.empty() ? "" : std::string_view(segments[0]));
  for (const std::string& segment : segments) {
    const auto child =
        std::find_if(node.children.begin(), node.children.end(),
                     [&](const Node& candidate) { return candidate.name == segment; });
    if (child == node.children.end()) {
      return ErrnoStatus(ENOENT, absl::StrCat("there is no attribute '",
                                              absl::string_view(path.data(), path.size()), "'"));
    }
    Node next = std::move(*child);
    node = std::move(next);
  }
  return node;
}

absl::Status AttributeError(int error, std::string_view path, const char* what) {
  return ErrnoStatus(error,
                     absl::StrCat("'", absl::string_view(path.data(), path.size()), "' ", what));
}

}  // namespace

absl::StatusOr<std::vector<std::string>> AttributeTree::List(std::string_view path) const {
  const absl::StatusOr<Node> node = FindNode(registry_, program_, path);
  if (!node.ok()) return node.status();
  if (!node->folder) return AttributeError(ENOTDIR, path, "is an attribute, not a folder");
  std::vector<std::string> names;
  for (const Node& child : node->children) names.push_back(child.name);
  return names;
}

absl::StatusOr<std::string> AttributeTree::Get(std::string_view path) const {
  const absl::StatusOr<Node> node = FindNode(registry_, program_, path);
  if (!node.ok()) return node.status();
  if (node->folder) return AttributeError(EISDIR, path, "is a folder");
  if (!node->value.has_value()) return AttributeError(EACCES, path, "cannot be read");
  return *node->value;
}

absl::Status AttributeTree::Set(std::string_view path, std::string_view value) const {
  const absl::StatusOr<Node> node = FindNode(registry_, program_, path);
  if (!node.ok()) return node.status();
  if (node->folder) return AttributeError(EISDIR, path, "is a folder");
  if (!node->write) return AttributeError(EACCES, path, "cannot be written");
  return node->write(value);
}

}  // namespace mend
