// disable, enable, force, remove, wait; ls, get, set: what changes a running program.
#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "mend/commands/commands.h"
#include "mend/progress.h"

namespace mend {
namespace {

std::string PatchPath(const std::string& patch, const std::string& verb) {
  return absl::StrCat("/patches/", EncodeSegment(patch), "/", verb);
}

// The path of an attribute on the target; a folder's ends with a slash.
std::string AttributePath(const std::string& path, bool folder) {
  std::string encoded;
  for (const std::string& segment :
       std::vector<std::string>(absl::StrSplit(path, '/', absl::SkipEmpty()))) {
    absl::StrAppend(&encoded, "/", EncodeSegment(segment));
  }
  return folder || encoded.empty() ? encoded + "/" : encoded;
}

// Attributes are plain text; as JSON they are the strings of one object.
Json Lines(const std::string& body) {
  Json lines = Json::array();
  for (const std::string& line :
       std::vector<std::string>(absl::StrSplit(body, '\n', absl::SkipEmpty()))) {
    lines.push_back(line);
  }
  return lines;
}

absl::StatusOr<Reply> GetText(const Client& client, const std::string& path, const char* key,
                              bool json) {
  absl::StatusOr<Reply> reply = client.Get(path);
  if (!reply.ok() || !reply->ok()) return reply;
  Json document = {{"schema", 1}};
  if (std::string(key) == "names") {
    document[key] = Lines(reply->body);
  } else {
    document[key] = std::string(absl::StripSuffix(reply->body, "\n"));
  }
  document["exit_code"] = kExitOk;
  if (json) reply->body = DumpJson(document);
  return reply;
}

// Of what may have been forced, which is said aloud.
std::string ForcibleText(const Json& answer, const std::string& verb) {
  const std::string warning =
      ForcedText(NumberOf(FieldOf(FieldOf(answer, "transition"), "switched"), "forced"));
  if (!warning.empty()) std::fprintf(stderr, "mend: %s\n", warning.c_str());
  return VerbText(answer, verb);
}

std::string PlainText(const Json& answer) { return answer.get<std::string>(); }

}  // namespace

int SwitchPatch(const std::string& target, const std::string& patch, const std::string& verb,
                const WaitFlags& wait, bool json) {
  const std::string path = PatchPath(patch, verb) + WaitQuery(wait);
  const std::string past = verb + "d";
  return OnTargets(target, json,
                   {[&](const Client& client) {
                      return PostWithProgress(client, path, "", WaitingOptions(wait.timeout_s),
                                              verb + " " + patch);
                    },
                    [&](const Json& answer) { return ForcibleText(answer, past); },
                    /*plain=*/false, /*undoes=*/verb == "disable"});
}

int RevertLastApply(const std::string& target, const WaitFlags& wait, bool json) {
  const std::string path = absl::StrCat("/revert", WaitQuery(wait));
  return OnTargets(target, json,
                   {[&](const Client& client) {
                      return PostWithProgress(client, path, "", WaitingOptions(wait.timeout_s),
                                              "revert");
                    },
                    [](const Json& answer) { return ForcibleText(answer, "reverted"); }});
}

int ForcePatch(const std::string& target, const std::string& patch, bool json) {
  return OnTargets(target, json,
                   {[&](const Client& client) {
                      return PostWithProgress(client, PatchPath(patch, "force"), "",
                                              WaitingOptions(10), "force " + patch);
                    },
                    [](const Json& answer) { return ForcibleText(answer, "completed"); }});
}

int RemovePatch(const std::string& target, const std::string& patch, bool json) {
  return OnTargets(target, json,
                   {[&](const Client& client) {
                      return client.Post(PatchPath(patch, "remove"), "", WaitingOptions(10));
                    },
                    [](const Json& answer) { return VerbText(answer, "removed"); },
                    /*plain=*/false, /*undoes=*/true});
}

int WaitForTransition(const std::string& target, double timeout_s, bool json) {
  // A target does not wait for hours on behalf of a client that may have gone.
  constexpr double kAtOnceS = 300;
  const auto wait = [&](const Client& client) {
    for (double left_s = BoundedTimeout(timeout_s);; left_s -= kAtOnceS) {
      const double now_s = std::min(left_s, kAtOnceS);
      const std::string path =
          absl::StrCat("/transition/wait?timeout_ms=", static_cast<int64_t>(now_s * 1e3));
      absl::StatusOr<Reply> reply = GetWithProgress(client, path, WaitingOptions(now_s), "waiting");
      const bool goes_on = reply.ok() && reply->ok() && ExitCodeOf(*reply) == kExitMigrating;
      if (!goes_on || left_s <= kAtOnceS) return reply;
    }
  };
  return OnTargets(target, json,
                   {wait, [](const Json& answer) { return VerbText(answer, "completed"); }});
}

int ListAttributes(const std::string& target, const std::string& path, bool json) {
  return OnTargets(target, json,
                   {[&](const Client& client) {
                      return GetText(client, AttributePath(path, /*folder=*/true), "names", json);
                    },
                    &PlainText, /*plain=*/true});
}

int GetAttribute(const std::string& target, const std::string& path, bool json) {
  return OnTargets(target, json,
                   {[&](const Client& client) {
                      return GetText(client, AttributePath(path, /*folder=*/false), "value", json);
                    },
                    &PlainText, /*plain=*/true});
}

int SetAttribute(const std::string& target, const std::string& path, const std::string& value) {
  return OnTargets(target, /*json=*/false,
                   {[&](const Client& client) {
                      return client.Put(AttributePath(path, /*folder=*/false), value);
                    },
                    [](const Json&) { return std::string(); }, /*plain=*/true});
}

}  // namespace mend
