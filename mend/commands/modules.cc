// load, unload: guest modules.
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "mend/commands/commands.h"
#include "mend/progress.h"
#include "runtime/base/read_file.h"
#include "runtime/format/program_image.h"

namespace mend {
namespace {

// Constructors and init may take their time.
constexpr absl::Duration kLoadTimeout = absl::Minutes(10);

std::string LoadPath(const std::string& name, const std::string& file,
                     const std::vector<std::string>& parameters) {
  // Without a working directory it is known as it was given.
  std::error_code error;
  std::filesystem::path absolute = std::filesystem::absolute(file, error);
  if (error) absolute = file;
  std::string path = absl::StrCat("/modules?name=", EncodeSegment(name),
                                  "&path=", EncodeSegment(absolute.string()));
  for (const std::string& parameter : parameters) {
    absl::StrAppend(&path, "&param=", EncodeSegment(parameter));
  }
  return path;
}

std::string Text(const Json& answer, const char* done) {
  const bool nothing = StringOf(answer, "outcome") == "nothing_to_do";
  return absl::StrCat("module ", StringOf(answer, "module"), " ", nothing ? "was " : "", done,
                      nothing ? " already\n" : "\n");
}

}  // namespace

int LoadModule(const std::string& target, const std::string& file, const std::string& name,
               const std::vector<std::string>& parameters, bool json) {
  for (const std::string& parameter : parameters) {
    if (parameter.find('=') != std::string::npos && parameter[0] != '=') continue;
    std::fprintf(stderr, "mend load: --param: '%s' is not NAME=VALUE\n", parameter.c_str());
    return kExitUsage;
  }
  const absl::StatusOr<std::string> bytes = ReadFile(file);
  if (!bytes.ok()) return ReportFailure(std::string(bytes.status().message()), kExitRefused, json);
  const std::string path = LoadPath(name.empty() ? GuestModuleName(file) : name, file, parameters);
  return OnTargets(target, json,
                   {[&](const Client& client) {
                      return PostWithProgress(client, path, *bytes, {.timeout = kLoadTimeout},
                                              "load " + file);
                    },
                    [](const Json& answer) { return Text(answer, "loaded"); }});
}

int UnloadModule(const std::string& target, const std::string& name, bool json) {
  const std::string path = absl::StrCat("/modules/", EncodeSegment(name), "/unload");
  return OnTargets(target, json,
                   {[&](const Client& client) {
                      return PostWithProgress(client, path, "", {.timeout = kLoadTimeout},
                                              "unload " + name);
                    },
                    [](const Json& answer) { return Text(answer, "unloaded"); }});
}

}  // namespace mend
