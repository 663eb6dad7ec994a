# Known wrong variants of the core: one line each, one change to one source. Each is built, and the
# simulation must find a violation in it. "Rule B2": the livepatch rule that the variant breaks
# (tests/conformance/rules.txt).
#
# mend_variant(NAME OBJECT FILE FROM TO [--seed N]): see mend_mutated_source. If FROM is not in FILE any
# more, the variant's test fails, and says so: the change has to be expressed anew. The seed spares the
# time of the histories before one that finds it, where those are many.
function(mend_variant name object file from to)
  mend_mutated_source(simulation_${name} ${file} "${from}" "${to}")
  if(NOT simulation_${name})
    add_test(NAME simulation_${name}
      COMMAND ${CMAKE_COMMAND} -E echo "variant ${name}: ${file} reads differently now")
    set_tests_properties(simulation_${name} PROPERTIES WILL_FAIL ON)
    return()
  endif()
  mend_simulation(simulation_${name} INSTEAD_OF ${object} SOURCE ${simulation_${name}})
  add_test(NAME simulation_${name} COMMAND simulation_${name} --histories 50000 ${ARGN})
  set_tests_properties(simulation_${name} PROPERTIES
    PASS_REGULAR_EXPRESSION "violation: " TIMEOUT 300)
endfunction()

# Threads switch wherever they stand.
mend_variant(no_stack_check handshake runtime/safepoint/handshake.cc
  "if (!meets && context != nullptr)" "if (false && !meets && context != nullptr)")
# Rule B5: trampolines are freed as soon as the transition is complete.
mend_variant(no_grace_round registry_state runtime/transition/registry_state.cc
  "if (coordinator_.Scan(*look_) != 0 || unclear_adoptions_ != 0) return false;"
  "(void)coordinator_.Scan(*look_);")
# A thread acknowledges what is asked when it has checked, not what was asked before.
mend_variant(late_generation handshake runtime/safepoint/handshake.cc
  "record.ack.store(request.generation, std::memory_order_seq_cst);\n  CountDown"
  "record.ack.store(Current()->generation, std::memory_order_seq_cst);\n  CountDown")
# A new thread passes for switched like its creator, and is not.
mend_variant(state_not_inherited thread_registry runtime/safepoint/thread_registry.cc
  "child->epoch.store(creator->epoch.load(std::memory_order_relaxed), std::memory_order_relaxed);"
  "child->epoch.store(1, std::memory_order_relaxed);")
# Rule B2: functions change one by one, slots lead to the new bodies at once.
mend_variant(slots_before_epoch transition runtime/transition/transition.cc
  "move.redirection->SetSlot(move.trampoline);" "move.redirection->SetSlot(move.new_body);")
# Rule B3: threads are asked to go back while the slots lead past the trampolines.
mend_variant(unpatching_without_trampolines transition runtime/transition/transition.cc
  "if (!object.patched) continue;" "if (true) continue;")
# What a patch replaces of what earlier ones have added to a module stays when that goes.
mend_variant(added_stay registry_modules runtime/transition/registry_modules.cc
  "  std::erase_if(object->functions, [](const PatchFunction& function) { return function.is_added; });\n" "")
# A module comes to a transition, and others replace what had been added to it: nobody takes that off.
mend_variant(nops_not_anew transition runtime/transition/transition.cc
  "if (absl::Status added = AddNops(patch_, others_); !added.ok()) return added;" "")
# The program's signal handlers run in the blocked region that they interrupt.
mend_variant(handler_in_blocked_region blocked_region runtime/safepoint/blocked_region.cc
  "if (record->AwaitUnclaimed() == Activity::kBlocked) {" "if (false) {")
# A thread that holds the core's mutex, or its own record's claim, runs the program's handlers.
mend_variant(interrupted_in_core uninterrupted runtime/base/uninterrupted.cc
  "tls_state.mask = ChangeMask(SIG_BLOCK, kHeldBack);" "tls_state.mask = ChangeMask(SIG_BLOCK, 0);")
# Threads that a canary did not choose switch at the first chance; or do so when they join.
mend_variant(canary_for_all handshake runtime/safepoint/handshake.cc
  "if (!request.Asks(record)) return SwitchResult::kNotAsked;" "")
mend_variant(canary_joined handshake runtime/safepoint/handshake.cc
  "SetEpoch(record, request->joining_epoch());" "SetEpoch(record, request->target_epoch());")
# The scan does not look again when threads were born meanwhile.
mend_variant(births_ignored coordinator runtime/transition/coordinator.cc
  "left == 0 ? registry.births() != births" "left == 0 ? false")
# The safepoint signal is sent to threads in blocked regions too.
mend_variant(signal_while_blocked safepoint runtime/safepoint/safepoint.cc
  "      record.activity.Get() != Activity::kRunning) {" "      false) {")
# A thread enters a blocked region though a signal is on its way to it.
mend_variant(signal_not_awaited thread_registry runtime/safepoint/thread_registry.cc
  "record->activity.Set(Activity::kGone);\n  record->AwaitSignal();"
  "record->activity.Set(Activity::kGone);")
# The signal's handler answers in the middle of the thread's own answer.
mend_variant(answer_in_answer safepoint runtime/safepoint/safepoint.cc
  "if (record.in_slow_path.load(std::memory_order_relaxed)) {" "if (false) {")
# A thread that has ended reads the request (as it once did).
mend_variant(request_read_when_gone thread_registry runtime/safepoint/thread_registry.cc
  "SwitchCallerAtBoundary(*record);\n  record->activity.Set(Activity::kGone);"
  "record->activity.Set(Activity::kGone);\n  SwitchCallerAtBoundary(*record);")
# A thread may switch in the middle of a trampoline.
mend_variant(switch_in_trampoline stack_check runtime/safepoint/stack_check.cc
  "return offset != 0 && offset != kTrampolinePollReturn;" "return false;")
# Rule B4: a reversal takes who has not switched for one who has answered.
mend_variant(reversal_not_answered coordinator runtime/transition/coordinator.cc
  "bool done = record.ack.load(std::memory_order_acquire) >= request.generation;"
  "bool done = record.ack.load(std::memory_order_acquire) >= request.generation || (request.switches && !request.to_new && request.Meets(record.epoch.load()));")
# Rule B1b: the poll byte is cleared when the thread has looked, so it may have been set for a later request.
mend_variant(poll_cleared_late safepoint runtime/safepoint/safepoint.cc
  "  words.poll.exchange(0, std::memory_order_acquire);
  ThreadRecord* const record = words.record.load(std::memory_order_relaxed);
  if (record == nullptr || record->activity.Get() != Activity::kRunning) return;
  SingleThread::NoteSafepoint(*record, context);
  record->in_slow_path.store(true, std::memory_order_relaxed);
  const SwitchResult result = AnswerRequest(*record, context, nullptr, SwitchWay::kPoll);
"
  "  ThreadRecord* const record = words.record.load(std::memory_order_relaxed);
  if (record == nullptr || record->activity.Get() != Activity::kRunning) return;
  SingleThread::NoteSafepoint(*record, context);
  record->in_slow_path.store(true, std::memory_order_relaxed);
  const SwitchResult result = AnswerRequest(*record, context, nullptr, SwitchWay::kPoll);
  words.poll.exchange(0, std::memory_order_acquire);
")
# Nobody looks for threads that call hosted code by a raw pointer.
mend_variant(raw_threads_ignored thread_registry runtime/safepoint/thread_registry.cc
  "if (known.contains(tid) || ThreadBlocksSignal(tid, kSafepointSignal)) continue;" "continue;")
# They are looked for when a transition starts, and not when its trampolines are to be freed.
mend_variant(raw_threads_in_trampolines registry_state runtime/transition/registry_state.cc
  "may stand in one is there.
  unclear_adoptions_ = options_.adopt_unknown_threads ? kAdoptionTriesMax : 0;"
  "may stand in one is there.
  unclear_adoptions_ = 0;" --seed 28000)
# A thread that was found, and then registers itself, counts twice; the first record never answers.
mend_variant(found_and_registered thread_registry runtime/safepoint/thread_registry.cc
  "adopted != nullptr) {" "false) {")
# A host's thread ends while the coordinator has it claimed, which then brings it back to life.
mend_variant(end_while_claimed thread_registry runtime/safepoint/thread_registry.cc
  "while (record->activity.Get() != Activity::kRunning &&" "while (false &&")
# A forked child whose coordinator could not be started stays without one.
mend_variant(child_without_coordinator registry_state runtime/transition/registry_state.cc
  "return has_work && !coordinator_runs_ ? EnsureCoordinatorLocked() : absl::OkStatus();"
  "(void)has_work;\n  return absl::OkStatus();")
# The threads that a forked child does not have are waited for.
mend_variant(dead_threads_in_child thread_registry runtime/safepoint/thread_registry.cc
  "record->activity.Set(Activity::kGone);\n    record->words.store(nullptr, std::memory_order_relaxed);\n    FreeRecord(record);\n  }\n  if (own"
  "}\n  if (own")
# post_unpatch is called though pre_patch refused.
mend_variant(callback_after_veto callbacks runtime/transition/callbacks.cc
  "object->post_unpatch_allowed = result == 0;" "object->post_unpatch_allowed = true;")
# What a revert brings back lies on top of the patch that goes.
mend_variant(restored_on_top transition runtime/transition/transition.cc
  "versions.InsertBelow(above->second, &function);" "versions.Push(&function);")
# A context runs with the patch state of the thread that runs it.
mend_variant(context_state_of_thread thread_contexts runtime/safepoint/thread_contexts.cc
  "words.epoch.store(record->epoch.load(std::memory_order_relaxed), std::memory_order_relaxed);" "")
# Nobody waits for what is suspended.
mend_variant(suspended_ignored coordinator runtime/transition/coordinator.cc
  "if (activity == Activity::kGone || !request.Asks(record)) return true;"
  "if (activity == Activity::kGone || !request.Asks(record) || record.suspended.load()) return true;")
# A new context passes for switched like who made it, and is not.
mend_variant(context_state_not_inherited thread_contexts runtime/safepoint/thread_contexts.cc
  "made->suspended.store(true, std::memory_order_relaxed);\n  InheritState(made);"
  "made->suspended.store(true, std::memory_order_relaxed);\n  InheritState(made);\n  made->epoch.store(1);")
# Whoever switches a suspended context writes to the words of the thread that has left it.
mend_variant(words_of_left_context thread_contexts runtime/safepoint/thread_contexts.cc
  "old->words.store(nullptr, std::memory_order_relaxed);" "")
# The signal for a record that a thread has left is not awaited, and counts for the one that it took.
mend_variant(context_signal_not_awaited thread_contexts runtime/safepoint/thread_contexts.cc
  "AwaitUnused(*old);\n    tls_thread_words.record.store(target, std::memory_order_relaxed);"
  "tls_thread_words.record.store(target, std::memory_order_relaxed);\n    AwaitUnused(*old);" --seed 15000)
# A forked child keeps a context that another thread was about to make.
mend_variant(unmade_context_in_child thread_registry runtime/safepoint/thread_registry.cc
  "record->suspended.load(std::memory_order_relaxed) &&\n        record->activity.Get() != Activity::kClaimed)"
  "record->suspended.load(std::memory_order_relaxed))")
# A cumulative patch takes those of other sets with it; one is let in though a function is another
# set's.
mend_variant(sets_replace_each_other registry_sets runtime/transition/registry_sets.cc
  "return active->replace_set == patch.replace_set;" "return active != &patch;")
mend_variant(sets_share_functions registry_state runtime/transition/registry_state.cc
  "if (absl::Status kept = CheckSetLocked(*patch); !kept.ok()) return kept;" "")
# A cumulative patch is refused for the states of another set's patches.
mend_variant(states_of_another_set registry_state runtime/transition/registry_state.cc
  "if (active->replace_set != patch.replace_set) continue;" "")
# A patch with an older version of a state is let in.
mend_variant(older_state_let_in registry_state runtime/transition/registry_state.cc
  "*version >= state.version" "true")
# Those that were set up before one that refuses are not released.
mend_variant(states_left_by_refusal state_changes runtime/transition/state_changes.cc
  "End(/*as_begun=*/false);" "begun_ = false;")
# The newer patch's record does not get what the older one's has; or keeps it when it does not come about.
mend_variant(state_without_data state_changes runtime/transition/state_changes.cc
  "for (HandOver& record : handed_over_) std::swap(record.record->data, record.data);\n  begun_ = true;"
  "begun_ = true;")
# A state that vanishes is not released when the transition ends as it began.
mend_variant(state_not_released state_changes runtime/transition/state_changes.cc
  "for (const Change& change : as_begun ? vanishing_ : appearing_) {"
  "for (const Change& change : as_begun ? appearing_ : appearing_) {")

# The exploration finds these, with so many preemptions; the last two need two.
function(mend_explored_variant name preemptions)
  if(NOT TARGET simulation_${name})
    return()
  endif()
  add_test(NAME simulation_explore_${name}
    COMMAND simulation_${name} --explore --preemptions ${preemptions})
  set_tests_properties(simulation_explore_${name} PROPERTIES
    PASS_REGULAR_EXPRESSION "violation: " TIMEOUT 600)
endfunction()
mend_explored_variant(slots_before_epoch 1)
mend_explored_variant(unpatching_without_trampolines 1)
mend_explored_variant(no_stack_check 2)
mend_explored_variant(no_grace_round 2)

# Without a bound on preemptions, and with the partial-order reduction, one thread and one patch are
# enough for these. Not by the random histories from which the reduction learns.
foreach(name no_stack_check no_grace_round)
  if(TARGET simulation_${name})
    add_test(NAME simulation_explore_reduced_${name}
      COMMAND simulation_${name} --explore --threads 1 --patches 1 --at-once --in-order)
    set_tests_properties(simulation_explore_reduced_${name} PROPERTIES
      PASS_REGULAR_EXPRESSION "violation: " TIMEOUT 600)
  endif()
endforeach()
