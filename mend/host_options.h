// The options of a hosted program: what `mend run` takes before its operand, and what an executable
// made by patchc takes from the environment variable MEND_OPTIONS.
//
// In MEND_OPTIONS words are separated by blanks; a backslash takes the next character literally.
#ifndef MEND_MEND_HOST_OPTIONS_H_
#define MEND_MEND_HOST_OPTIONS_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace mend {

inline constexpr char kOptionsVariable[] = "MEND_OPTIONS";

struct HostOptions {
  std::string name;       // of the program; empty: the executable's base name
  std::string socket;     // path of the control socket; empty: the default place
  bool serve = true;      // false: no control socket
  std::string patch_dir;  // patch modules applied before main; empty: none
  std::string log;        // file for event lines; empty: standard error
  absl::Duration poke_interval = absl::Seconds(15);
  bool debugger = false;                // tell gdb about hosted code
  bool perf = false;                    // tell perf about hosted code
  bool is_process = false;              // no option: the process is the hosted program's
  std::vector<std::string> failpoints;  // test builds only
};

// Reads option words. INVALID_ARGUMENT names the option and what is wrong with it.
absl::StatusOr<HostOptions> ParseHostOptions(const std::vector<std::string>& words);

// The words for another process of the same program, which cannot have the same control socket.
std::vector<std::string> WordsForChild(const std::vector<std::string>& words);

// The words of a MEND_OPTIONS value, and the value for words.
std::vector<std::string> SplitOptionWords(std::string_view value);
std::string JoinOptionWords(const std::vector<std::string>& words);

}  // namespace mend

#endif  // MEND_MEND_HOST_OPTIONS_H_
