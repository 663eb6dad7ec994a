#include "runtime/transition/transition.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/check.h"
#include "runtime/base/failpoint.h"
#include "runtime/safepoint/safepoint_poll.h"
#include "runtime/transition/atomic_replace.h"
#include "runtime/transition/object_hooks.h"
#include "runtime/transition/trampoline.h"

namespace mend {

void NormalizeRanges(std::vector<CodeRange>* ranges) {
  std::erase_if(*ranges, [](const CodeRange& range) { return range.empty(); });
  std::sort(ranges->begin(), ranges->end());
  std::vector<CodeRange> joined;
  for (const CodeRange& range : *ranges) {
    if (!joined.empty() && range.begin <= joined.back().end) {
      joined.back().end = std::max(joined.back().end, range.end);
    } else {
      joined.push_back(range);
    }
  }
  *ranges = std::move(joined);
}

Transition::Transition(const Environment& environment, Patch* patch, bool patching,
                       std::vector<Patch*> others, std::vector<CodeRange> retired_trampolines,
                       StateChanges states)
    : environment_(environment),
      patch_(patch),
      patching_(patching),
      others_(std::move(others)),
      retired_trampolines_(std::move(retired_trampolines)),
      epoch_(Handshake::Get().NextEpoch()),
      states_(std::move(states)) {}

void Transition::Log(const char* kind, const std::string& text) {
  environment_.events->Append(LivepatchEvent(kind, patch_->name, text));
}

absl::Status Transition::Init() {
  Log("transition_init",
      absl::StrCat("'", patch_->name, "': initializing ", Gerund(), " transition"));
  SetFlags(true);
  if (!patching_) PushRestored();
  // What can fail without anybody's say comes first, before any callback.
  for (const PatchObject& object : patch_->objects) {
    if (object.loaded != nullptr) PlanObject(object);
  }
  for (const FunctionSite* const held : HeldFunctions()) PlanPoll(*held);
  if (absl::Status built = BuildTrampolines(0); !built.ok()) return built;
  if (patching_) {
    if (absl::Status begun = states_.Begin(); !begun.ok()) return begun;
    if (absl::Status patched = PatchLoadedObjects(); !patched.ok()) return patched;
    return RedirectObject(nullptr);
  }
  for (const PatchObject& object : patch_->objects) {
    if (!object.patched) continue;
    if (absl::Status redirected = RedirectObject(object.loaded); !redirected.ok()) {
      return redirected;
    }
  }
  if (absl::Status redirected = RedirectObject(nullptr); !redirected.ok()) return redirected;
  if (absl::Status begun = states_.Begin(); !begun.ok()) return begun;
  RunPreUnpatch();
  return absl::OkStatus();
}

void Transition::PlanObject(const PatchObject& object) {
  for (const PatchFunction& function : object.functions) {
    const FuncStack& versions = environment_.table->Of(function.old)->versions;
    if (patching_) {
      PlanMove(function, object.loaded, versions.top(), &function);
    } else if (function.patched && versions.top() == &function) {
      // A version that another one covers runs on no thread any more: it is only unlinked (R1).
      PlanMove(function, object.loaded, &function, versions.Below(&function));
    }
  }
}

void Transition::PlanMove(const PatchFunction& function, const mend_object* object,
                          const PatchFunction* from, const PatchFunction* to) {
  Redirection* const redirection = environment_.table->Of(function.old);
  moves_.push_back({.redirection = redirection,
                    .object = object,
                    .old_body = redirection->BodyOf(from),
                    .new_body = redirection->BodyOf(to),
                    .old_text = redirection->TextOf(from),
                    .new_text = redirection->TextOf(to),
                    .trampoline = {}});
}

std::vector<const FunctionSite*> Transition::HeldFunctions() const {
  std::vector<const FunctionSite*> held;
  for (const FunctionSite& site : patch_->held) held.push_back(&site);
  for (const PatchObject& object : patch_->objects) {
    for (const FunctionSite& site : object.held) held.push_back(&site);
  }
  for (const auto& [module, units] : *environment_.units) {
    for (const FunctionSite& site : units) held.push_back(&site);
  }
  return held;
}

void Transition::PlanPoll(const FunctionSite& held) {
  // A function that cannot be patched has no slot: it is held all the same, but does not poll. Nor
  // has one whose object is not loaded.
  if (held.slot == nullptr) return;
  Redirection* const redirection = environment_.table->Of(held);
  const bool moves = std::any_of(moves_.begin(), moves_.end(),
                                 [&](const Move& move) { return move.redirection == redirection; });
  if (moves) return;
  const CodeAddress body = redirection->BodyOf(redirection->versions.top());
  moves_.push_back({.redirection = redirection,
                    .object = nullptr,
                    .old_body = body,
                    .new_body = body,
                    .old_text = {},
                    .new_text = {},
                    .trampoline = {}});
}

absl::Status Transition::BuildTrampolines(size_t first_move) {
  const size_t count = moves_.size() - first_move;
  if (count == 0) return absl::OkStatus();
  if (MEND_FAILPOINT("transition/allocate_text")) {
    return absl::ResourceExhaustedError("ENOMEM: no text for trampolines (failpoint)");
  }
  absl::StatusOr<CodeRange> text =
      environment_.host->AllocateText(count * kTrampolineSize + sizeof(uintptr_t));
  if (!text.ok()) return text.status();
  trampolines_.push_back(*text);
  MEND_CHECK(text->begin.value % 16 == 0, "trampolines are not aligned");
  for (size_t i = 0; i < count; ++i) {
    moves_[first_move + i].trampoline = text->begin + i * kTrampolineSize;
  }
  // Behind the trampolines: the slow path may be out of reach of a direct call.
  return WriteTrampolines(first_move, text->begin + count * kTrampolineSize);
}

absl::Status Transition::WriteTrampolines(size_t first_move, CodeAddress poll_slow_path) {
  const auto poll_slow_path_address = reinterpret_cast<uintptr_t>(&__mend_poll_slow);
  std::vector<TrampolineBytes> bytes(moves_.size());
  std::vector<TextWrite> writes = {
      {.address = poll_slow_path,
       .bytes = {reinterpret_cast<const uint8_t*>(&poll_slow_path_address),
                 sizeof poll_slow_path_address}}};
  for (size_t i = first_move; i < moves_.size(); ++i) {
    absl::StatusOr<TrampolineBytes> encoded = EncodeTrampoline(moves_[i].trampoline,
                                                               {.old_body = moves_[i].old_body,
                                                                .new_body = moves_[i].new_body,
                                                                .poll_slow_path = poll_slow_path},
                                                               epoch_);
    if (!encoded.ok()) return encoded.status();
    bytes[i] = *encoded;
    writes.push_back({.address = moves_[i].trampoline, .bytes = bytes[i]});
  }
  if (MEND_FAILPOINT("transition/write_text")) {
    return absl::InternalError("trampolines cannot be written (failpoint)");
  }
  return environment_.host->WriteText(writes);
}

absl::Status Transition::PatchLoadedObjects() {
  for (PatchObject& object : patch_->objects) {
    if (object.loaded == nullptr) continue;
    absl::Status patched = environment_.callbacks->PrePatch(*patch_, &object);
    if (!patched.ok()) return patched;
    patched = PatchLoadedObject(&object);
    if (patched.ok()) continue;
    Log("patch_failed",
        absl::StrCat("failed to patch object '", environment_.callbacks->NameOf(object), "'"));
    return patched;
  }
  return absl::OkStatus();
}

absl::Status Transition::PatchLoadedObject(PatchObject* object) {
  // No thread has switched: whatever way a call takes, it reaches the old body.
  PushObject(environment_.table, object);
  absl::Status redirected = RedirectObject(object->loaded);
  if (!redirected.ok()) PopObject(environment_.table, object);
  return redirected;
}

absl::Status Transition::RedirectObject(const mend_object* object) {
  std::vector<Redirection*> redirections;
  for (const Move& move : moves_) {
    if (move.object != object) continue;
    move.redirection->SetSlot(move.trampoline);
    redirections.push_back(move.redirection);
  }
  if (redirections.empty()) return absl::OkStatus();
  return OpenEntries(environment_.host, redirections);
}

void Transition::PushRestored() {
  std::map<CodeAddress, const PatchFunction*> own;
  for (const PatchObject& object : patch_->objects) {
    for (const PatchFunction& function : object.functions) {
      if (function.patched) own[function.old.entry] = &function;
    }
  }
  for (Patch* const restored : others_) {
    for (PatchObject& object : restored->objects) {
      if (object.loaded == nullptr) continue;
      for (PatchFunction& function : object.functions) {
        FuncStack& versions = environment_.table->Of(function.old)->versions;
        const auto above = own.find(function.old.entry);
        if (above == own.end()) {
          versions.Push(&function);
        } else {
          versions.InsertBelow(above->second, &function);
        }
        function.patched = true;
      }
      object.patched = true;
    }
  }
  for (PatchObject& object : patch_->objects) {
    if (object.loaded == nullptr) continue;
    for (PatchFunction& function : object.functions) {
      if (!function.nop || function.patched) continue;
      environment_.table->Of(function.old)->versions.Push(&function);
      function.patched = true;
      object.patched = true;
    }
  }
}

void Transition::RunPreUnpatch() {
  for (PatchObject& object : patch_->objects) {
    if (object.patched) environment_.callbacks->PreUnpatch(&object);
  }
}

// --- objects that come and go in mid-transition ---

absl::Status Transition::HookObject(PatchObject* object) {
  // For what others replace of what had been added to the object: it was not listed before.
  if (absl::Status added = AddNops(patch_, others_); !added.ok()) return added;
  const size_t first_move = moves_.size();
  const size_t first_text = trampolines_.size();
  for (PatchFunction& function : object->functions) {
    function.transition = true;
    const PatchFunction* const below = environment_.table->Of(function.old)->versions.top();
    if (patching_) {
      PlanMove(function, object->loaded, below, &function);
    } else {
      PlanMove(function, object->loaded, &function, below);
    }
  }
  absl::Status hooked = BuildTrampolines(first_move);
  if (hooked.ok()) hooked = PatchLoadedObject(object);
  if (hooked.ok()) return hooked;
  for (size_t i = first_move; i < moves_.size(); ++i) SettleSlot(*moves_[i].redirection);
  // No thread can be in them: nothing of the object has run.
  for (size_t i = first_text; i < trampolines_.size(); ++i) {
    environment_.host->ReleaseText(trampolines_[i]);
  }
  trampolines_.resize(first_text);
  moves_.resize(first_move);
  return hooked;
}

void Transition::ForgetObject(const mend_object* object) {
  std::erase_if(moves_, [object](const Move& move) {
    return move.object == object || move.redirection->site.object == object->name;
  });
}

void Transition::Start(bool canary) {
  canary_ = canary;
  Log("transition_start", absl::StrCat("'", patch_->name, "': starting ", Gerund(), " transition"));
  patch_->enabled = target_patched();
  Publish();
}

void Transition::Publish() {
  auto request = std::make_unique<SwitchRequest>();
  request->generation = Handshake::Get().NextGeneration();
  request->epoch = epoch_;
  request->to_new = to_new_;
  request->switches = true;
  request->canary = canary_;
  ForbidMoves(&request->forbidden);
  ForbidHeld(&request->forbidden);
  NormalizeRanges(&request->forbidden);
  request->trampolines = trampolines_;
  std::sort(request->trampolines.begin(), request->trampolines.end());
  request->retired_trampolines = retired_trampolines_;
  request->tally = tally_.get();
  requests_.push_back(std::move(request));
  Handshake::Get().Publish(requests_.back().get());
}

void Transition::ForbidMoves(std::vector<CodeRange>* forbidden) const {
  for (const Move& move : moves_) {
    if (move.object == nullptr) continue;
    forbidden->push_back(to_new_ ? move.old_text : move.new_text);
    // A thread at the stub itself is about to decide; it may do so before or after it switched, but
    // not in between.
    const CodeAddress entry = move.redirection->site.entry;
    forbidden->push_back({entry, entry + kEntryStubSize});
  }
}

void Transition::ForbidHeld(std::vector<CodeRange>* forbidden) const {
  for (const FunctionSite* const site : HeldFunctions()) {
    if (site->entry.is_null()) continue;  // of an object that is not loaded
    forbidden->push_back({site->entry, site->entry + static_cast<size_t>(site->size)});
    const Redirection* const redirection = environment_.table->Find(site->entry);
    if (redirection == nullptr) continue;
    for (const PatchFunction* version : redirection->versions.versions()) {
      forbidden->push_back(redirection->TextOf(version));
    }
  }
}

void Transition::Reverse() {
  Log("reversing", absl::StrCat("'", patch_->name, "': reversing transition from ", Gerund(),
                                " to ", target_patched() ? "unpatching" : "patching"));
  to_new_ = !to_new_;
  reversed_ = !reversed_;
  // A thread that is answering the request before still may acknowledge it, but not this one. So
  // all threads have to answer again, those that have nothing to change too.
  Start(/*canary=*/false);
}

void Transition::Promote() {
  canary_ = false;
  Publish();
}

void Transition::Cancel() {
  MEND_CHECK(requests_.empty(), "a transition that has started is reversed, not cancelled");
  Log("canceling", absl::StrCat("'", patch_->name, "': canceling ", Gerund(),
                                " transition, going to ", patching_ ? "unpatch" : "patch"));
  to_new_ = false;
  cancelled_ = true;
  Complete();
}

void Transition::Complete() {
  Log("transition_completing",
      absl::StrCat("'", patch_->name, "': completing ", Gerund(), " transition"));
  if (patching_ && to_new_) {
    for (Patch* const old_patch : others_) {
      TakeOffStacks(old_patch);
      old_patch->enabled = false;
    }
    RemoveNops();
  }
  if (!patching_) {
    for (Patch* const restored : others_) {
      if (to_new_) {
        restored->enabled = true;
      } else {
        TakeOffStacks(restored);
      }
    }
    if (!to_new_) RemoveNops();
  }
  if (!target_patched()) {
    TakeOffStacks(patch_);
    RemoveNops();
  }
  patch_->enabled = target_patched();
  SettleSlots();
  CloseEntries(environment_.host, MovedRedirections());
  SetFlags(false);
}

void Transition::TakeOffStacks(Patch* patch) {
  for (PatchObject& object : patch->objects) PopObject(environment_.table, &object);
}

void Transition::RemoveNops() {
  for (PatchObject& object : patch_->objects) {
    for (PatchFunction& function : object.functions) {
      if (function.nop && function.patched) {
        environment_.table->Of(function.old)->versions.Remove(&function);
      }
    }
  }
  DropNops(patch_);
}

std::vector<Redirection*> Transition::MovedRedirections() const {
  std::vector<Redirection*> redirections;
  for (const Move& move : moves_) redirections.push_back(move.redirection);
  return redirections;
}

void Transition::SettleSlots() {
  for (const Move& move : moves_) SettleSlot(*move.redirection);
}

void Transition::SetFlags(bool transition) {
  for (PatchObject& object : patch_->objects) {
    for (PatchFunction& function : object.functions) function.transition = transition;
  }
}

void Transition::Finish() {
  for (PatchObject& object : patch_->objects) {
    if (object.loaded == nullptr) continue;
    if (!target_patched()) {
      environment_.callbacks->PostUnpatch(&object);
    } else if (!cancelled_) {
      // Also when an unpatching transition was reversed: its pre_unpatch has run (LC11).
      environment_.callbacks->PostPatch(&object);
    }
  }
  states_.End(/*as_begun=*/to_new_);
  Log("transition_complete", absl::StrCat("'", patch_->name, "': ", Gerund(), " complete"));
}

Retired Transition::TakeRetired() {
  return {.requests = std::move(requests_),
          .tally = std::move(tally_),
          .trampolines = std::exchange(trampolines_, {})};
}

}  // namespace mend
