#include "runtime/transition/object_hooks.h"

#include "runtime/base/failpoint.h"

namespace mend {

absl::Status OpenEntries(CodeHost* host, const std::vector<Redirection*>& redirections) {
  std::vector<EntryWrite> writes;
  for (const Redirection* const redirection : redirections) {
    if (redirection->open) continue;
    absl::StatusOr<uint64_t> bytes = OpenEntry(redirection->site);
    if (!bytes.ok()) return bytes.status();
    writes.push_back({.entry = redirection->site.entry, .bytes = *bytes});
  }
  if (MEND_FAILPOINT("transition/open_entries")) {
    return absl::InternalError("entries cannot be opened (failpoint)");
  }
  if (writes.empty()) return absl::OkStatus();
  if (absl::Status opened = host->WriteEntries(writes); !opened.ok()) return opened;
  for (Redirection* const redirection : redirections) redirection->open = true;
  return absl::OkStatus();
}

void CloseEntries(CodeHost* host, const std::vector<Redirection*>& redirections) {
  std::vector<EntryWrite> writes;
  for (const Redirection* const redirection : redirections) {
    if (!redirection->open || !redirection->versions.empty()) continue;
    // A thread that fetched the open entry's jump before may load the slot after this. What it
    // finds is right either way (docs/memory_ordering.md, "The entry's closing").
    writes.push_back({.entry = redirection->site.entry, .bytes = kClosedEntry});
  }
  if (writes.empty()) return;
  if (MEND_FAILPOINT("transition/close_entries")) return;
  if (!host->WriteEntries(writes).ok()) return;
  for (Redirection* const redirection : redirections) {
    if (redirection->versions.empty()) redirection->open = false;
  }
}

void PushObject(RedirectionTable* table, PatchObject* object) {
  for (PatchFunction& function : object->functions) {
    table->Of(function.old)->versions.Push(&function);
    function.patched = true;
  }
  object->patched = true;
}

void PopObject(RedirectionTable* table, PatchObject* object) {
  for (PatchFunction& function : object->functions) {
    if (!function.patched) continue;
    table->Of(function.old)->versions.Remove(&function);
    function.patched = false;
  }
  object->patched = false;
}

std::vector<Redirection*> RedirectionsOf(RedirectionTable* table, const PatchObject& object) {
  std::vector<Redirection*> redirections;
  for (const PatchFunction& function : object.functions) {
    redirections.push_back(table->Of(function.old));
  }
  return redirections;
}

void SettleSlot(const Redirection& redirection) {
  redirection.SetSlot(redirection.BodyOf(redirection.versions.top()));
}

}  // namespace mend
