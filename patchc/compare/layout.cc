#include "patchc/compare/layout.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "patchc/compare/module_diff.h"
#include "patchc/sources/line_directives.h"

namespace mend::patchc {
namespace {

// What has to stay: where there are members, and how large they are.
std::vector<std::pair<uint64_t, uint64_t>> Places(const RecordDescription& record) {
  std::vector<std::pair<uint64_t, uint64_t>> places;
  for (const FieldDescription& field : record.fields) {
    places.emplace_back(field.offset_bits, field.size_bits);
  }
  return places;
}

// Offsets of members by name, but for names that several have, as of unnamed ones.
std::map<std::string, uint64_t> OffsetsByName(const RecordDescription& record) {
  std::map<std::string, uint64_t> offsets;
  std::set<std::string> ambiguous = {""};
  for (const FieldDescription& field : record.fields) {
    if (!offsets.emplace(field.name, field.offset_bits).second) ambiguous.insert(field.name);
  }
  for (const std::string& name : ambiguous) offsets.erase(name);
  return offsets;
}

// Whether members change places: then each is where live objects have another one's value, even if
// both are as large. A member that is only renamed stays where it is.
bool HasMovedMember(const RecordDescription& base, const RecordDescription& edited) {
  const std::map<std::string, uint64_t> before = OffsetsByName(base);
  const std::map<std::string, uint64_t> after = OffsetsByName(edited);
  return std::any_of(before.begin(), before.end(), [&](const auto& member) {
    const auto found = after.find(member.first);
    return found != after.end() && found->second != member.second;
  });
}

std::string TypeChange(const std::string& what, const FieldDescription& base,
                       const FieldDescription& edited) {
  // A typedef of both versions hides what has changed.
  const bool are_spelled_alike = base.type == edited.type;
  const auto shown = [&](const FieldDescription& field) {
    return absl::StrCat("'", field.type, "'",
                        are_spelled_alike ? absl::StrCat(" (", field.meaning, ")") : "");
  };
  return absl::StrCat(what, " changed from ", shown(base), " to ", shown(edited));
}

// Whether new code understands a value that old code has left. Integers of one size are alike,
// enumerators among them; a pointer to bytes may be one to anything that is no function.
bool IsSameMeaning(absl::string_view before, absl::string_view after) {
  constexpr absl::string_view kPointer = "pointer";
  constexpr absl::string_view kPointerTo = "pointer to ";
  if (before == after) return true;
  if (absl::ConsumeSuffix(&before, "[]")) {
    return absl::ConsumeSuffix(&after, "[]") && IsSameMeaning(before, after);
  }
  const bool was_typed = absl::ConsumePrefix(&before, kPointerTo);
  const bool is_typed = absl::ConsumePrefix(&after, kPointerTo);
  if (was_typed && is_typed) return IsSameMeaning(before, after);
  return (is_typed && before == kPointer && after != "function") ||
         (was_typed && after == kPointer && before != "function");
}

// The first member that stands where live objects have something else: of another type, or renamed
// as well as respelled, which nobody can tell from another member. Empty if there is none.
// REQUIRES: equal places.
std::string FirstOtherMeaning(const RecordDescription& base, const RecordDescription& edited) {
  for (size_t i = 0; i < base.fields.size(); ++i) {
    const FieldDescription& before = base.fields[i];
    const FieldDescription& after = edited.fields[i];
    if (before.name == after.name && !IsSameMeaning(before.meaning, after.meaning)) {
      return TypeChange(
          before.name.empty() ? "its type" : absl::StrCat("the type of member '", before.name, "'"),
          before, after);
    }
    if (before.name != after.name && before.type != after.type) {
      return absl::StrCat("member '", after.name, "' (", after.type, ") stands in the place of '",
                          before.name, "' (", before.type, ")");
    }
  }
  return {};
}

// The first member that tells the two apart, in words.
std::string FirstDifference(const RecordDescription& base, const RecordDescription& edited) {
  std::map<std::string, const FieldDescription*> old_fields;
  for (const FieldDescription& field : base.fields) old_fields[field.name] = &field;
  // A variable's type, which has no name, is in front of the members.
  if (edited.kind == "variable" && !base.fields.empty() && !edited.fields.empty() &&
      base.fields[0].type != edited.fields[0].type) {
    return TypeChange("its type", base.fields[0], edited.fields[0]);
  }
  for (const FieldDescription& field : edited.fields) {
    const auto found = old_fields.find(field.name);
    if (found == old_fields.end()) {
      return absl::StrCat("member '", field.name, "' was added at offset ", field.offset_bits / 8);
    }
    if (found->second->offset_bits != field.offset_bits) {
      return absl::StrCat("member '", field.name, "' moved from offset ",
                          found->second->offset_bits / 8, " to ", field.offset_bits / 8);
    }
    if (found->second->size_bits != field.size_bits) {
      return absl::StrCat("member '", field.name, "' changed its size from ",
                          found->second->size_bits / 8, " to ", field.size_bits / 8);
    }
    old_fields.erase(found);
  }
  if (!old_fields.empty()) {
    return absl::StrCat("member '", old_fields.begin()->first, "' was removed");
  }
  return absl::StrCat("its size changed from ", base.size_bytes, " to ", edited.size_bytes);
}

std::optional<Refusal> CompareEnum(const RecordDescription& base, const RecordDescription& edited) {
  // An enumerator's value stands in the place of its type.
  std::map<std::string, std::string> values;
  for (const FieldDescription& enumerator : edited.fields) {
    values[enumerator.name] = enumerator.type;
  }
  for (const FieldDescription& enumerator : base.fields) {
    const auto found = values.find(enumerator.name);
    if (found == values.end() || found->second == enumerator.type) continue;
    // An unnamed one is described by its enumerators alone.
    const std::string whose =
        base.size_bytes == 0
            ? absl::StrCat("unnamed enum: the value of '", base.name)
            : absl::StrCat("enum ", base.name, ": the value of '", enumerator.name);
    return Refusal{RefusalCode::kEnumValue,
                   absl::StrCat(whose, "' changed from ", enumerator.type, " to ", found->second),
                   {}};
  }
  if (base.size_bytes == edited.size_bytes) return std::nullopt;
  return Refusal{RefusalCode::kRecordLayout,
                 absl::StrCat("enum ", base.name, ": its size changed from ", base.size_bytes,
                              " to ", edited.size_bytes),
                 {}};
}

std::optional<Refusal> CompareRecord(const RecordDescription& base,
                                     const RecordDescription& edited) {
  if (base.kind == "enum" && edited.kind == "enum") return CompareEnum(base, edited);
  const std::string both = DescribeDifference(base, edited);
  if (const std::string difference = LayoutDifference(base, edited); !difference.empty()) {
    return Refusal{RefusalCode::kRecordLayout,
                   absl::StrCat(base.kind, " ", base.name, ": ", difference), both};
  }
  if (base.vtable != edited.vtable) {
    return Refusal{RefusalCode::kVtable,
                   absl::StrCat(base.kind, " ", base.name, ": its virtual functions changed"),
                   both};
  }
  return std::nullopt;
}

}  // namespace

std::string LayoutDifference(const RecordDescription& base, const RecordDescription& edited) {
  const bool has_same_places = std::tie(base.size_bytes, base.alignment_bytes) ==
                                   std::tie(edited.size_bytes, edited.alignment_bytes) &&
                               Places(base) == Places(edited) && !HasMovedMember(base, edited);
  return has_same_places ? FirstOtherMeaning(base, edited) : FirstDifference(base, edited);
}

namespace {

using RecordsByName = std::map<std::string, std::vector<const RecordDescription*>>;

// What is compared in another way, or by others.
bool IsNoRecord(const std::string& kind) {
  return kind == "lambda" || kind == "block" || kind == "body" || kind == "static" ||
         kind == "constant" || kind == "assembler" || kind == "module";
}

RecordsByName ByName(const std::vector<RecordDescription>& records) {
  RecordsByName by_name;
  for (const RecordDescription& record : records) {
    if (!IsNoRecord(record.kind)) by_name[record.name].push_back(&record);
  }
  return by_name;
}

// The record as it would be described by another name, which its own members may lead to.
RecordDescription WithName(RecordDescription record, const std::string& name) {
  const auto is_word = [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_';
  };
  const auto rename = [&](std::string& text) {
    for (size_t at = 0; (at = text.find(record.name, at)) != text.npos;) {
      const size_t end = at + record.name.size();
      const bool is_whole =
          (at == 0 || !is_word(text[at - 1])) && (end == text.size() || !is_word(text[end]));
      if (is_whole) text.replace(at, record.name.size(), name);
      at += is_whole ? name.size() : 1;
    }
  };
  for (FieldDescription& field : record.fields) {
    rename(field.type);
    rename(field.meaning);
  }
  record.name = name;
  return record;
}

// Whether the one seems to be the other, which got another name: all members of the smaller one, or
// most of both, are alike but for their places.
bool AreAlike(const RecordDescription& base, const RecordDescription& edited) {
  constexpr size_t kFew = 3;
  const auto members = [](const RecordDescription& record) {
    std::set<std::pair<std::string, std::string>> named;
    for (const FieldDescription& field : record.fields) {
      if (field.name.empty()) continue;
      // An enumerator's value stands in the place of its type.
      named.emplace(field.name, record.kind == "enum" ? std::string() : field.type);
    }
    return named;
  };
  const auto before = members(base);
  const auto after = members(edited);
  const auto common = static_cast<size_t>(std::count_if(
      before.begin(), before.end(), [&after](const auto& each) { return after.contains(each); }));
  const size_t fewer = std::min(before.size(), after.size());
  const size_t more = std::max(before.size(), after.size());
  return (common == fewer && common + 1 >= kFew) || (common >= kFew && 4 * common >= 3 * more);
}

// Instances of a template, and what functions have of their own, come and go.
bool IsFleeting(const std::string& name) { return name.find_first_of("<(") != name.npos; }

// Records that got another name, and another layout: objects of the old one may be known by
// addresses that have no type (a callback's argument).
void AddRenamed(const RecordsByName& base, const RecordsByName& edited,
                const std::set<std::string>& allowed, std::vector<LayoutChange>& changes) {
  for (const auto& [name, records] : edited) {
    if (base.contains(name) || allowed.contains(name) || IsFleeting(name)) continue;
    for (const auto& [old_name, old_records] : base) {
      const RecordDescription& old = *old_records.front();
      if (edited.contains(old_name) || IsFleeting(old_name) || old.kind != records.front()->kind) {
        continue;
      }
      const RecordDescription before = WithName(old, name);
      if (!AreAlike(before, *records.front())) continue;
      std::optional<Refusal> refusal = CompareRecord(before, *records.front());
      if (!refusal.has_value()) continue;
      absl::StrAppend(&refusal->message, " (it seems to be '", old_name, "', which is gone)");
      changes.push_back({name, "renamed", *std::move(refusal)});
      break;
    }
  }
}

}  // namespace

std::vector<LayoutChange> CompareRecords(const std::vector<RecordDescription>& base,
                                         const std::vector<RecordDescription>& edited,
                                         const std::set<std::string>& allowed) {
  const RecordsByName old_records = ByName(base);
  const RecordsByName new_records = ByName(edited);
  std::vector<LayoutChange> changes;
  AddRenamed(old_records, new_records, allowed, changes);
  for (const auto& [name, records] : new_records) {
    const auto found = old_records.find(name);
    if (found == old_records.end() || allowed.contains(name)) continue;
    const std::vector<const RecordDescription*>& before = found->second;
    for (size_t i = 0; i < records.size(); ++i) {
      const RecordDescription& record = *records[i];
      // One of several of a name is the one in its place, or any when there are more or fewer.
      const bool in_order = before.size() == records.size();
      std::optional<Refusal> refusal = CompareRecord(*before[in_order ? i : 0], record);
      if (!refusal.has_value()) continue;
      const bool is_known =
          !in_order && std::any_of(before.begin(), before.end(), [&](const auto* other) {
            return !CompareRecord(*other, record).has_value();
          });
      if (!is_known) changes.push_back({name, record.kind, *std::move(refusal)});
    }
  }
  return changes;
}

std::vector<ChangedConstant> ChangedConstants(const std::vector<RecordDescription>& base,
                                              const std::vector<RecordDescription>& edited) {
  std::map<std::string, std::string> values;
  for (const RecordDescription& record : base) {
    if (record.kind == "constant") values.emplace(record.name, record.fields.front().type);
  }
  std::vector<ChangedConstant> changed;
  for (const RecordDescription& record : edited) {
    if (record.kind != "constant") continue;
    const std::string& value = record.fields.front().type;
    const auto found = values.find(record.name);
    if (found == values.end() || found->second == value) continue;
    changed.push_back({record.name, found->second, value});
  }
  return changed;
}

bool HasNewAssembler(const std::vector<RecordDescription>& base,
                     const std::vector<RecordDescription>& edited) {
  std::set<std::string> known;
  for (const RecordDescription& record : base) {
    if (record.kind == "assembler") known.insert(record.name);
  }
  return std::any_of(edited.begin(), edited.end(), [&known](const RecordDescription& record) {
    return record.kind == "assembler" && !known.contains(record.name);
  });
}

std::vector<std::string> ChangedInitializers(const std::vector<RecordDescription>& base,
                                             const std::vector<RecordDescription>& edited) {
  const auto old_variables = ByName(base);
  std::vector<std::string> changed;
  for (const RecordDescription& variable : edited) {
    const auto found = old_variables.find(variable.name);
    if (found == old_variables.end() || variable.initializer.empty()) continue;
    const std::string& before = found->second.front()->initializer;
    if (!before.empty() && before != variable.initializer) changed.push_back(variable.name);
  }
  return changed;
}

std::vector<Refusal> CompareVariables(const std::vector<RecordDescription>& base,
                                      const std::vector<RecordDescription>& edited) {
  const auto old_variables = ByName(base);
  std::vector<Refusal> refusals;
  for (const RecordDescription& variable : edited) {
    const auto found = old_variables.find(variable.name);
    if (found == old_variables.end()) continue;
    const RecordDescription& before = *found->second.front();
    // Another size is refused with the variable's contents.
    if (before.size_bytes != variable.size_bytes) continue;
    const std::string difference = LayoutDifference(before, variable);
    if (difference.empty()) continue;
    refusals.push_back({RefusalCode::kDataType,
                        absl::StrCat("variable '", DisplayName(variable.name), "': ", difference),
                        DescribeDifference(before, variable)});
  }
  return refusals;
}

namespace {

// Beyond this many differing rows the rest is counted.
constexpr size_t kRowsMax = 12;
constexpr size_t kContextRows = 2;
constexpr size_t kColumnMax = 44;

// One line of the comparison; an empty side has no such member.
struct LayoutRow {
  std::string old_side;
  std::string new_side;
  bool differs = false;
};

std::string ShowMember(const FieldDescription& field) {
  const uint64_t bits = field.offset_bits % 8;
  return absl::StrCat(absl::Dec(field.offset_bits / 8, absl::kSpacePad6),
                      bits == 0 ? "" : absl::StrCat(":", bits), "  ", field.type, " ", field.name,
                      field.size_bits % 8 == 0 ? "" : absl::StrCat(" : ", field.size_bits));
}

// What a member is called, a line each, so that the two lists can be compared as texts are.
std::string MemberLines(const RecordDescription& record) {
  std::string lines;
  for (const FieldDescription& field : record.fields) {
    absl::StrAppend(&lines, field.name.empty() ? field.type : field.name, "\n");
  }
  for (const std::string& function : record.vtable) absl::StrAppend(&lines, function, "\n");
  return lines;
}

std::vector<std::string> ShownMembers(const RecordDescription& record) {
  std::vector<std::string> shown;
  for (const FieldDescription& field : record.fields) shown.push_back(ShowMember(field));
  for (const std::string& function : record.vtable) {
    shown.push_back(absl::StrCat("      virtual ", function));
  }
  return shown;
}

std::vector<LayoutRow> LayoutRows(const RecordDescription& base, const RecordDescription& edited) {
  const std::vector<std::string> old_members = ShownMembers(base);
  const std::vector<std::string> new_members = ShownMembers(edited);
  std::vector<LayoutRow> rows;
  size_t old_at = 0;
  size_t new_at = 0;
  const auto add_equal = [&](size_t old_end) {
    for (; old_at < old_end; ++old_at, ++new_at) {
      rows.push_back(
          {old_members[old_at], new_members[new_at], old_members[old_at] != new_members[new_at]});
    }
  };
  for (const ChangedRegion& region : CompareLines(MemberLines(base), MemberLines(edited))) {
    add_equal(region.old_begin);
    while (old_at < region.old_end || new_at < region.new_end) {
      LayoutRow row{{}, {}, true};
      if (old_at < region.old_end) row.old_side = old_members[old_at++];
      if (new_at < region.new_end) row.new_side = new_members[new_at++];
      rows.push_back(std::move(row));
    }
  }
  add_equal(old_members.size());
  return rows;
}

std::string ShowRow(std::string left, const std::string& right, char mark, size_t width) {
  left.resize(std::max(width, left.size()), ' ');
  return absl::StrCat("    ", left, " ", std::string(1, mark), " ", right, "\n");
}

}  // namespace

std::string DescribeDifference(const RecordDescription& base, const RecordDescription& edited) {
  const std::vector<LayoutRow> rows = LayoutRows(base, edited);
  const std::string heads[] = {absl::StrCat("running program: ", base.size_bytes, " bytes"),
                               absl::StrCat("edited source: ", edited.size_bytes, " bytes")};
  size_t width = heads[0].size();
  for (const LayoutRow& row : rows) {
    width = std::max(width, std::min(row.old_side.size(), kColumnMax));
  }
  std::string text = ShowRow(heads[0], heads[1], ' ', width);
  size_t shown = 0;
  size_t left_out = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    const size_t context_end = std::min(rows.size(), i + kContextRows + 1);
    const bool leads_to_difference =
        std::any_of(rows.begin() + static_cast<std::ptrdiff_t>(i),
                    rows.begin() + static_cast<std::ptrdiff_t>(context_end),
                    [](const LayoutRow& row) { return row.differs; });
    if (!leads_to_difference) continue;
    if (shown == kRowsMax) {
      left_out += rows[i].differs ? 1 : 0;
      continue;
    }
    ++shown;
    absl::StrAppend(
        &text, ShowRow(rows[i].old_side, rows[i].new_side, rows[i].differs ? '|' : ' ', width));
  }
  if (left_out > 0) absl::StrAppend(&text, "    and ", left_out, " more that differ\n");
  return text;
}

}  // namespace mend::patchc
