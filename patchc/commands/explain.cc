// patchc explain CODE: what a refusal means and the way out of it.
#include <cstdio>
#include <string>

#include "mend/client.h"
#include "mend/json.h"
#include "patchc/commands/command.h"
#include "patchc/commands/patch_options.h"
#include "patchc/support/refusals.h"

namespace mend::patchc {
namespace {

constexpr char kExamples[] =
    "\nexamples:\n"
    "  patchc explain MEND-E0101\n";

void ListRefusals(bool json) {
  Json report = {{"schema", 1}, {"codes", Json::array()}};
  for (const RefusalText& text : AllRefusals()) {
    if (!json) std::printf("%s  %s\n", RefusalId(text.code).c_str(), text.title);
    report["codes"].push_back({{"code", RefusalId(text.code)}, {"title", text.title}});
  }
  if (json) PrintJson(report);
}

}  // namespace

int RunExplain(const CommandArguments& arguments) {
  CLI::App app("Explains a refusal (without a code: lists them).", "patchc explain");
  app.footer(kExamples);
  std::string id;
  bool json = false;
  app.add_option("CODE", id, "for example MEND-E0101");
  app.add_flag("--json", json, "as JSON");
  if (const int code = ParseArguments(app, arguments); code >= 0) return code;
  if (id.empty()) {
    ListRefusals(json);
    return kExitOk;
  }
  const RefusalText* const text = FindRefusal(id);
  if (text == nullptr) {
    std::fprintf(stderr, "patchc explain: there is no code '%s'; without one it lists them\n",
                 id.c_str());
    return kExitUsage;
  }
  if (json) {
    Json report;
    report["schema"] = 1;
    report["code"] = RefusalId(text->code);
    report["title"] = text->title;
    report["explanation"] = text->explanation;
    report["way_out"] = text->way_out;
    PrintJson(report);
    return kExitOk;
  }
  std::printf("%s: %s\n\n%s\n\nWay out: %s\n", RefusalId(text->code).c_str(), text->title,
              text->explanation, text->way_out);
  return kExitOk;
}

}  // namespace mend::patchc
