#include "mend/commands/text.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace mend {
namespace {

std::string Plural(int64_t count, const char* noun) {
  return absl::StrCat(count, " ", noun, count == 1 ? "" : "s");
}

std::string PatchState(const Json& patch) {
  if (BoolOf(patch, "transition")) return BoolOf(patch, "enabled") ? "enabling" : "disabling";
  std::string state = BoolOf(patch, "enabled") ? "enabled" : "disabled";
  if (BoolOf(patch, "forced")) state += ", forced";
  return state;
}

// "6 blocked, 2 by poll".
std::string SwitchText(const Json& switched) {
  static constexpr struct {
    const char* key;
    const char* text;
  } kWays[] = {{"outside", "outside"},  {"blocked", "blocked"}, {"poll", "by poll"},
               {"signal", "by signal"}, {"forced", "by force"}, {"created", "born switched"}};
  std::vector<std::string> parts;
  for (const auto& way : kWays) {
    const int64_t count = NumberOf(switched, way.key);
    if (count > 0) parts.push_back(absl::StrCat(count, " ", way.text));
  }
  return parts.empty() ? "no thread had to switch" : "threads: " + absl::StrJoin(parts, ", ");
}

std::string TransitionText(const Json& transition) {
  const int64_t total = NumberOf(transition, "start_ns") + NumberOf(transition, "switch_ns") +
                        NumberOf(transition, "complete_ns");
  std::string text =
      absl::StrCat(FormatNs(total), " (", SwitchText(FieldOf(transition, "switched")), ")");
  const std::string straggler = StringOf(transition, "last_straggler");
  if (!straggler.empty()) absl::StrAppend(&text, "; last: ", straggler);
  return text;
}

std::string HeldText(const Json& straggler) {
  if (!straggler.is_object()) return "-";
  const std::string function = StringOf(straggler, "function");
  std::string text = function.empty() ? StringOf(straggler, "reason") : function;
  const std::string detail = StringOf(straggler, "detail");
  if (!detail.empty()) absl::StrAppend(&text, " (", detail, ")");
  return text;
}

// The columns that say what holds a thread back.
void AddHeldCells(const Json& thread, std::vector<std::string>* row) {
  const Json& straggler = FieldOf(thread, "straggler");
  row->push_back(HeldText(straggler));
  const bool held = straggler.is_object();
  row->push_back(held ? absl::StrCat(NumberOf(straggler, "frame")) : "-");
  row->push_back(held ? FormatNs(NumberOf(straggler, "since_ns")) : "-");
  row->push_back(held ? absl::StrCat(NumberOf(straggler, "tries")) : "-");
}

// Of a transition that asks only some threads.
std::string CanaryText(const Json& canary) {
  if (!canary.is_object()) return "";
  return absl::StrCat("a canary on ", Plural(NumberOf(canary, "threads_switched"), "thread"),
                      BoolOf(canary, "held") ? ", held until promoted or disabled, " : ", ");
}

std::string StragglersText(const Json& stragglers, size_t indent) {
  TextTable table({"TID", "NAME", "HELD BY", "FRAME", "SINCE", "TRIES"});
  for (const Json& thread : stragglers) {
    std::vector<std::string> row = {StringOf(thread, "tid"), StringOf(thread, "name")};
    AddHeldCells(thread, &row);
    table.Add(std::move(row));
  }
  return table.empty() ? "" : table.Format(indent);
}

}  // namespace

std::string Printable(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return (c >= 0 && c < ' ') || c == 0x7f; }, '?');
  return text;
}

void TextTable::Add(std::vector<std::string> row) {
  for (std::string& cell : row) cell = Printable(std::move(cell));
  rows_.push_back(std::move(row));
}

std::string TextTable::Format(size_t indent) const {
  std::vector<size_t> widths;
  for (const std::vector<std::string>& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const std::vector<std::string>& row : rows_) {
    std::string line(indent, ' ');
    for (size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] - row[i].size() + 2, ' ');
    }
    absl::StrAppend(&text, &row == &rows_.front() ? Emphasize(line) : line, "\n");
  }
  return text;
}

std::string FormatNs(int64_t ns) {
  const double value = static_cast<double>(ns);
  if (ns < 1'000'000) return absl::StrFormat("%.0f us", value / 1e3);
  if (ns < 1'000'000'000) return absl::StrFormat("%.1f ms", value / 1e6);
  if (ns < 60'000'000'000) return absl::StrFormat("%.1f s", value / 1e9);
  const int64_t seconds = ns / 1'000'000'000;
  return absl::StrCat(seconds / 60, " min ", seconds % 60, " s");
}

std::string Emphasize(std::string_view text) {
  static const bool colour = ::isatty(STDOUT_FILENO) != 0 && std::getenv("NO_COLOR") == nullptr;
  return colour ? absl::StrCat("\033[1m", absl::string_view(text.data(), text.size()), "\033[0m")
                : std::string(text);
}

std::string StatusText(const Json& status) {
  std::string text = absl::StrCat(Emphasize(Printable(StringOf(status, "name"))), " (pid ",
                                  StringOf(status, "pid"), ", ",
                                  Plural(NumberOf(status, "threads_total"), "thread"), ")  ",
                                  Printable(StringOf(status, "executable")), "\n");
  TextTable patches({"ORDER", "PATCH", "STATE", "CUMULATIVE", "FUNCTIONS"});
  for (const Json& patch : FieldOf(status, "patches")) {
    const int64_t order = NumberOf(patch, "stack_order");
    patches.Add({order == 0 ? "-" : absl::StrCat(order), StringOf(patch, "name"), PatchState(patch),
                 BoolOf(patch, "replace") ? "yes" : "no",
                 absl::StrCat(FieldOf(patch, "functions").size())});
  }
  text += patches.empty() ? "no patches\n" : patches.Format();
  const Json& transition = FieldOf(status, "transition");
  if (transition.is_object()) {
    absl::StrAppend(&text, "transition: ", StringOf(transition, "direction"), " '",
                    StringOf(transition, "patch"), "' for ",
                    FormatNs(NumberOf(transition, "age_ns")), ", ",
                    CanaryText(FieldOf(transition, "canary")),
                    Plural(NumberOf(transition, "threads_left"), "thread"), " left\n",
                    StragglersText(FieldOf(status, "stragglers"), 2));
  }
  const Json& last = FieldOf(status, "last_transition");
  if (last.is_object()) {
    absl::StrAppend(&text, "last transition: ", StringOf(last, "direction"), " '",
                    StringOf(last, "patch"), "'", BoolOf(last, "reversed") ? ", reversed" : "",
                    ", ", TransitionText(last), "\n");
  }
  return text;
}

std::string ThreadsText(const Json& threads) {
  TextTable table({"TID", "NAME", "WHERE", "PATCH STATE", "HELD BY", "FRAME", "SINCE", "TRIES"});
  for (const Json& thread : FieldOf(threads, "threads")) {
    std::string where = StringOf(thread, "where");
    const std::string call = StringOf(thread, "blocked_in");
    if (where == "blocked" && !call.empty()) absl::StrAppend(&where, " in ", call);
    std::vector<std::string> row = {StringOf(thread, "tid"), StringOf(thread, "name"),
                                    std::move(where),
                                    absl::StrCat(NumberOf(thread, "patch_state"))};
    AddHeldCells(thread, &row);
    table.Add(std::move(row));
  }
  return table.Format();
}

std::string VerbText(const Json& report, const std::string& verb) {
  const std::string outcome = StringOf(report, "outcome");
  const std::string patch = StringOf(report, "patch");
  const std::string subject = patch.empty() ? "" : absl::StrCat("patch '", patch, "' ");
  if (outcome == "nothing_to_do") return absl::StrCat(subject, verb, " already\n");
  if (outcome == "migrating") {
    return absl::StrCat(subject, "still migrating\n",
                        StragglersText(FieldOf(report, "stragglers"), 2));
  }
  if (outcome == "reversed") {
    return absl::StrCat(subject, "not ", verb, ": timed out and reversed\n",
                        StragglersText(FieldOf(report, "stragglers"), 2));
  }
  const Json& transition = FieldOf(report, "transition");
  if (patch.empty()) return "no transition runs\n";
  return absl::StrCat(subject, verb,
                      transition.is_object() ? ": " + TransitionText(transition) : "", "\n");
}

}  // namespace mend
