#include "runtime/transition/transition.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/check.h"
#include "runtime/base/failpoint.h"
#include "runtime/safepoint/safepoint_poll.h"
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
                       std::vector<Patch*> replaced, std::vector<CodeRange> retired_trampolines)
    : environment_(environment),
      patch_(patch),
      patching_(patching),
      replaced_(std::move(replaced)),
      retired_trampolines_(std::move(retired_trampolines)),
      epoch_(Handshake::Get().NextEpoch()) {}

void Transition::Log(const char* kind, const std::string& text) {
  environment_.events->Append(LivepatchEvent(kind, patch_->name, text));
}

absl::Status Transition::Init() {
  Log("transition_init",
      absl::StrCat("'", patch_->name, "': initializing ", Gerund(), " transition"));
  SetFlags(true);
  if (patching_) {
    PutOnStacks();
  } else {
    PlanRemoval();
  }
  ForbidHeld();
  NormalizeRanges(&forbidden_to_new_);
  NormalizeRanges(&forbidden_to_old_);
  if (absl::Status built = BuildTrampolines(); !built.ok()) return built;
  return OpenEntries();
}

void Transition::PutOnStacks() {
  for (PatchObject& object : patch_->objects) {
    for (PatchFunction& function : object.functions) {
      Redirection* const redirection = environment_.table->Of(function.old);
      PlanMove(function, redirection->versions.top(), &function);
      redirection->versions.Push(&function);
      function.patched = true;
    }
    object.patched = true;
  }
}

void Transition::PlanRemoval() {
  for (PatchObject& object : patch_->objects) {
    for (PatchFunction& function : object.functions) {
      Redirection* const redirection = environment_.table->Of(function.old);
      // A version that another one covers runs on no thread any more: it is only unlinked (R1).
      if (redirection->versions.top() != &function) continue;
      PlanMove(function, &function, redirection->versions.Below(&function));
    }
  }
}

void Transition::PlanMove(const PatchFunction& function, const PatchFunction* from,
                          const PatchFunction* to) {
  Redirection* const redirection = environment_.table->Of(function.old);
  moves_.push_back({.redirection = redirection,
                    .old_body = redirection->BodyOf(from),
                    .new_body = redirection->BodyOf(to)});
  forbidden_to_new_.push_back(redirection->TextOf(from));
  forbidden_to_old_.push_back(redirection->TextOf(to));
  // A thread at the stub itself is about to decide; it may do so before or after it switched, but
  // not in between.
  const CodeRange stub{function.old.entry, function.old.entry + kEntryStubSize};
  forbidden_to_new_.push_back(stub);
  forbidden_to_old_.push_back(stub);
}

void Transition::ForbidHeld() {
  for (const FunctionSite& site : patch_->held) {
    const Redirection* const redirection = environment_.table->Find(site.entry);
    std::vector<CodeRange> versions = {{site.entry, site.entry + static_cast<size_t>(site.size)}};
    if (redirection != nullptr) {
      for (const PatchFunction* version : redirection->versions.versions()) {
        versions.push_back(redirection->TextOf(version));
      }
    }
    forbidden_to_new_.insert(forbidden_to_new_.end(), versions.begin(), versions.end());
    forbidden_to_old_.insert(forbidden_to_old_.end(), versions.begin(), versions.end());
    PlanPoll(site);
  }
}

void Transition::PlanPoll(const FunctionSite& held) {
  // A function that cannot be patched has no slot: it is held all the same, but does not poll.
  if (held.slot == nullptr) return;
  Redirection* const redirection = environment_.table->Of(held);
  const bool moves = std::any_of(moves_.begin(), moves_.end(), [&](const Move& move) {
    return move.redirection == redirection;
  });
  if (moves) return;
  const CodeAddress body = redirection->BodyOf(redirection->versions.top());
  moves_.push_back({.redirection = redirection, .old_body = body, .new_body = body});
}

absl::Status Transition::BuildTrampolines() {
  if (moves_.empty()) return absl::OkStatus();
  if (MEND_FAILPOINT("transition/allocate_text")) {
    return absl::ResourceExhaustedError("ENOMEM: no text for trampolines (failpoint)");
  }
  absl::StatusOr<CodeRange> text =
      environment_.host->AllocateText(moves_.size() * kTrampolineSize + sizeof(uintptr_t));
  if (!text.ok()) return text.status();
  trampolines_ = *text;
  MEND_CHECK(trampolines_.begin.value % 16 == 0, "trampolines are not aligned");
  // Behind the trampolines: the slow path may be out of reach of a direct call.
  const CodeAddress poll_slow_path = trampolines_.begin + moves_.size() * kTrampolineSize;
  const auto poll_slow_path_address = reinterpret_cast<uintptr_t>(&__mend_poll_slow);
  std::vector<TrampolineBytes> bytes(moves_.size());
  std::vector<TextWrite> writes = {
      {.address = poll_slow_path,
       .bytes = {reinterpret_cast<const uint8_t*>(&poll_slow_path_address),
                 sizeof poll_slow_path_address}}};
  for (size_t i = 0; i < moves_.size(); ++i) {
    const CodeAddress at = trampolines_.begin + i * kTrampolineSize;
    absl::StatusOr<TrampolineBytes> encoded =
        EncodeTrampoline(at,
                         {.old_body = moves_[i].old_body,
                          .new_body = moves_[i].new_body,
                          .poll_slow_path = poll_slow_path},
                         epoch_);
    if (!encoded.ok()) return encoded.status();
    bytes[i] = *encoded;
    writes.push_back({.address = at, .bytes = bytes[i]});
  }
  if (MEND_FAILPOINT("transition/write_text")) {
    return absl::InternalError("trampolines cannot be written (failpoint)");
  }
  return environment_.host->WriteText(writes);
}

absl::Status Transition::OpenEntries() {
  std::vector<EntryWrite> writes;
  for (const Move& move : moves_) {
    if (move.redirection->open) continue;
    absl::StatusOr<uint64_t> bytes = OpenEntry(move.redirection->site);
    if (!bytes.ok()) return bytes.status();
    writes.push_back({.entry = move.redirection->site.entry, .bytes = *bytes});
  }
  // No thread has switched: whatever way a call takes, it reaches the old body.
  for (size_t i = 0; i < moves_.size(); ++i) {
    moves_[i].redirection->SetSlot(trampolines_.begin + i * kTrampolineSize);
  }
  if (MEND_FAILPOINT("transition/open_entries")) {
    return absl::InternalError("entries cannot be opened (failpoint)");
  }
  if (writes.empty()) return absl::OkStatus();
  if (absl::Status opened = environment_.host->WriteEntries(writes); !opened.ok()) return opened;
  for (const Move& move : moves_) move.redirection->open = true;
  return absl::OkStatus();
}

void Transition::Start() {
  Log("transition_start", absl::StrCat("'", patch_->name, "': starting ", Gerund(),
                                       " transition"));
  patch_->enabled = target_patched();
  Publish();
}

void Transition::Publish() {
  auto request = std::make_unique<SwitchRequest>();
  request->generation = Handshake::Get().NextGeneration();
  request->epoch = epoch_;
  request->to_new = to_new_;
  request->switches = true;
  request->forbidden = to_new_ ? forbidden_to_new_ : forbidden_to_old_;
  request->trampolines = trampolines_;
  request->retired_trampolines = retired_trampolines_;
  request->tally = tally_.get();
  requests_.push_back(std::move(request));
  Handshake::Get().Publish(requests_.back().get());
}

void Transition::Reverse() {
  Log("reversing", absl::StrCat("'", patch_->name, "': reversing transition from ", Gerund(),
                                " to ", target_patched() ? "unpatching" : "patching"));
  to_new_ = !to_new_;
  reversed_ = !reversed_;
  // A thread that is answering the request before still may acknowledge it, but not this one. So
  // all threads have to answer again, those that have nothing to change too.
  Start();
}

void Transition::Cancel() {
  MEND_CHECK(requests_.empty(), "a transition that has started is reversed, not cancelled");
  Log("canceling", absl::StrCat("'", patch_->name, "': canceling ", Gerund(),
                                " transition, going to ", patching_ ? "unpatch" : "patch"));
  to_new_ = false;
  Complete();
}

void Transition::Complete() {
  Log("transition_completing",
      absl::StrCat("'", patch_->name, "': completing ", Gerund(), " transition"));
  if (patching_ && to_new_) {
    for (Patch* const old_patch : replaced_) {
      TakeOffStacks(old_patch);
      old_patch->enabled = false;
    }
    RemoveNops();
  }
  if (!target_patched()) {
    TakeOffStacks(patch_);
    RemoveNops();
  }
  patch_->enabled = target_patched();
  SettleSlots();
  CloseEntries();
  SetFlags(false);
}

void Transition::TakeOffStacks(Patch* patch) {
  for (PatchObject& object : patch->objects) {
    for (PatchFunction& function : object.functions) {
      if (!function.patched) continue;
      environment_.table->Of(function.old)->versions.Remove(&function);
      function.patched = false;
    }
    object.patched = false;
  }
}

void Transition::RemoveNops() {
  // They are in objects of their own, behind the patch's: the other functions stay where they are.
  for (PatchObject& object : patch_->objects) {
    if (!object.dynamic) continue;
    for (PatchFunction& nop : object.functions) {
      if (nop.patched) environment_.table->Of(nop.old)->versions.Remove(&nop);
    }
  }
  std::erase_if(patch_->objects, [](const PatchObject& object) { return object.dynamic; });
}

void Transition::SettleSlots() {
  for (const Move& move : moves_) {
    const Redirection& redirection = *move.redirection;
    redirection.SetSlot(redirection.BodyOf(redirection.versions.top()));
  }
}

void Transition::CloseEntries() {
  std::vector<EntryWrite> writes;
  for (const Move& move : moves_) {
    if (!move.redirection->open || !move.redirection->versions.empty()) continue;
    // ORDER[T10]: the slot holds the original body (SettleSlots) before the entry is closed; pairs
    // with a thread that fetched the open entry's jump and loads the slot now.
    writes.push_back({.entry = move.redirection->site.entry, .bytes = kClosedEntry});
  }
  if (writes.empty()) return;
  // An entry that stays open costs a jump and is otherwise right: its slot holds the original.
  if (MEND_FAILPOINT("transition/close_entries")) return;
  if (!environment_.host->WriteEntries(writes).ok()) return;
  for (const Move& move : moves_) {
    if (move.redirection->versions.empty()) move.redirection->open = false;
  }
}

void Transition::SetFlags(bool transition) {
  for (PatchObject& object : patch_->objects) {
    for (PatchFunction& function : object.functions) function.transition = transition;
  }
}

void Transition::Finish() {
  Log("transition_complete", absl::StrCat("'", patch_->name, "': ", Gerund(), " complete"));
}

Retired Transition::TakeRetired() {
  return {.requests = std::move(requests_),
          .tally = std::move(tally_),
          .trampolines = std::exchange(trampolines_, {})};
}

}  // namespace mend
