#include "mend/host_options.h"

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace mend {
namespace {

absl::StatusOr<absl::Duration> ParseSeconds(const std::string& text) {
  double seconds = 0;
  if (!absl::SimpleAtod(text, &seconds) || !(seconds > 0) || seconds > 1e9) {
    return absl::InvalidArgumentError(
        absl::StrCat("--poke-interval takes a positive number of seconds, not '", text, "'"));
  }
  return absl::Seconds(seconds);
}

// Stores the value of an option that takes one. Returns false for an unknown option.
absl::StatusOr<bool> SetValue(const std::string& option, const std::string& value,
                              HostOptions* options) {
  if (option == "--name") {
    if (value.empty() || value.find('/') != std::string::npos) {
      return absl::InvalidArgumentError("--name takes a name without '/'");
    }
    options->name = value;
  } else if (option == "--socket") {
    options->socket = value;
  } else if (option == "--patch-dir") {
    options->patch_dir = value;
  } else if (option == "--log") {
    options->log = value;
  } else if (option == "--failpoint") {
    options->failpoints.push_back(value);
  } else if (option == "--poke-interval") {
    const absl::StatusOr<absl::Duration> interval = ParseSeconds(value);
    if (!interval.ok()) return interval.status();
    options->poke_interval = *interval;
  } else {
    return false;
  }
  return true;
}

bool SetSwitch(const std::string& option, HostOptions* options) {
  if (option == "--no-socket") {
    options->serve = false;
  } else if (option == "--debugger") {
    options->debugger = true;
  } else if (option == "--perf") {
    options->perf = true;
  } else {
    return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<HostOptions> ParseHostOptions(const std::vector<std::string>& words) {
  HostOptions options;
  for (size_t i = 0; i < words.size(); ++i) {
    if (SetSwitch(words[i], &options)) continue;
    // --option=value and --option value.
    const size_t equals = words[i].find('=');
    const std::string option = words[i].substr(0, equals);
    const bool inline_value = equals != std::string::npos;
    if (!inline_value && i + 1 >= words.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("option '", option, "' is unknown or lacks its value; see mend run --help"));
    }
    const std::string value = inline_value ? words[i].substr(equals + 1) : words[i + 1];
    const absl::StatusOr<bool> known = SetValue(option, value, &options);
    if (!known.ok()) return known.status();
    if (!*known) {
      return absl::InvalidArgumentError(
          absl::StrCat("unknown option '", option, "'; see mend run --help"));
    }
    if (!inline_value) ++i;
  }
#ifndef MEND_FAILPOINTS
  if (!options.failpoints.empty()) {
    return absl::InvalidArgumentError("--failpoint exists in test builds only");
  }
#endif
  return options;
}

std::vector<std::string> WordsForChild(const std::vector<std::string>& words) {
  std::vector<std::string> kept;
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--socket") {
      ++i;
    } else if (!absl::StartsWith(words[i], "--socket=")) {
      kept.push_back(words[i]);
    }
  }
  return kept;
}

std::vector<std::string> SplitOptionWords(std::string_view value) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  for (size_t i = 0; i < value.size(); ++i) {
    const char c = value[i];
    if (c == ' ' || c == '\t' || c == '\n') {
      if (in_word) words.push_back(word);
      word.clear();
      in_word = false;
      continue;
    }
    in_word = true;
    word += c == '\\' && i + 1 < value.size() ? value[++i] : c;
  }
  if (in_word) words.push_back(word);
  return words;
}

std::string JoinOptionWords(const std::vector<std::string>& words) {
  std::string value;
  for (const std::string& word : words) {
    if (!value.empty()) value += ' ';
    for (const char c : word) {
      if (c == ' ' || c == '\t' || c == '\n' || c == '\\') value += '\\';
      value += c;
    }
  }
  return value;
}

}  // namespace mend
