#include "tests/runtime/module/module_fixture.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/errno_status.h"

namespace mend::testing {
namespace {

void Say(EventLog* events, const std::string& text) {
  Event event;
  event.kind = "guest_log";
  event.text = text;
  events->Append(std::move(event));
}

const char* StateName(const mend_object* object) {
  switch (mend_object_state(object)) {
    case MEND_MODULE_LIVE:
      return "LIVE";
    case MEND_MODULE_COMING:
      return "COMING";
    case MEND_MODULE_GOING:
      return "GOING";
  }
  return "?";
}

std::string NameOf(const mend_object* object) {
  const char* const name = mend_object_name(object);
  return name == nullptr ? "" : name;
}

// "demo: pre_patch: mod COMING"; the program is "vmlinux", as in the document.
void SayCallback(const char* patch, const char* kind, const mend_object* object) {
  const std::string name = NameOf(object);
  Say(TheCallbackWorld().events,
      absl::StrCat(patch, ": ", kind, ": ",
                   name.empty() ? "vmlinux" : absl::StrCat(name, " ", StateName(object))));
  const auto hook = TheCallbackWorld().hooks.find(kind);
  if (hook != TheCallbackWorld().hooks.end()) hook->second();
}

template <const char* const& patch>
struct Callbacks {
  static int PrePatch(mend_object* object) {
    SayCallback(patch, "pre_patch", object);
    const auto result = TheCallbackWorld().pre_patch_results.find(NameOf(object));
    return result == TheCallbackWorld().pre_patch_results.end() ? 0 : result->second;
  }
  static void PostPatch(mend_object* object) { SayCallback(patch, "post_patch", object); }
  static void PreUnpatch(mend_object* object) { SayCallback(patch, "pre_unpatch", object); }
  static void PostUnpatch(mend_object* object) { SayCallback(patch, "post_unpatch", object); }
  static ObjectCallbacks All() { return {PrePatch, PostPatch, PreUnpatch, PostUnpatch}; }
};

constexpr const char* kDemo = "demo";
constexpr const char* kOther = "other";

}  // namespace

class FakeModule : public GuestModule {
 public:
  FakeModule(FakeModuleLoader* loader, std::string name, ModuleMakings makings)
      : loader_(loader), name_(std::move(name)), makings_(std::move(makings)) {
    ++loader_->live;
    EXPECT_TRUE(parameters_.Add("number", ParameterKind::kInt, &loader_->number).ok());
    std::map<std::string, unsigned> positions;
    for (const auto& [symbol, function] : makings_.symbols) {
      FunctionSite site;
      site.unit = name_;
      site.entry = function.text.begin;
      site.size = function.text.size();
      site.slot = loader_->host_->SlotOf(function);
      site.sympos = ++positions[symbol];
      loader_->symbols_->AddSymbol(name_, symbol, std::move(site));
      loader_->symbols_->Know(function);
    }
  }
  ~FakeModule() override {
    --loader_->live;
    loader_->symbols_->DropObject(name_);
    for (const auto& [symbol, function] : makings_.symbols) {
      EXPECT_EQ(*loader_->host_->SlotOf(function), function.text.begin.value + kEntryStubSize)
          << symbol << " of " << name_ << " is freed while it is patched";
    }
  }

  std::vector<CodeRange> text() const override {
    std::vector<CodeRange> ranges;
    for (const auto& [symbol, function] : makings_.symbols) ranges.push_back(function.text);
    return ranges;
  }
  std::string_view file() const override { return {}; }
  ModuleParameters& parameters() override { return parameters_; }
  void RunInitializers() override {
    if (makings_.constructor) makings_.constructor();
  }
  int RunInit() override {
    Say(loader_->events_, absl::StrCat(name_, ": init"));
    if (makings_.on_init) makings_.on_init();
    return makings_.init_result;
  }
  void RunExit() override {
    Say(loader_->events_, absl::StrCat(name_, ": exit"));
    if (makings_.on_exit) makings_.on_exit();
  }
  void RunFinalizers() override { Say(loader_->events_, absl::StrCat(name_, ": destructors")); }

 private:
  FakeModuleLoader* const loader_;
  const std::string name_;
  const ModuleMakings makings_;
  ModuleParameters parameters_;
};

absl::StatusOr<std::unique_ptr<GuestModule>> FakeModuleLoader::Link(const std::string& name,
                                                                    const ModuleSource&) {
  const auto found = makings.find(name);
  if (found == makings.end()) return ErrnoStatus(ENOEXEC, "this is no guest module");
  return std::make_unique<FakeModule>(this, name, found->second);
}

CallbackWorld& TheCallbackWorld() {
  static auto& world = *new CallbackWorld;
  return world;
}

ObjectCallbacks DemoCallbacks() { return Callbacks<kDemo>::All(); }
ObjectCallbacks OtherCallbacks() { return Callbacks<kOther>::All(); }

void ModuleTest::SetUp() {
  CoreTest::SetUp();
  TheCallbackWorld() = {.events = &events_, .pre_patch_results = {}, .hooks = {}};
}

void ModuleTest::TearDown() {
  TheCallbackWorld().pre_patch_results.clear();
  TheCallbackWorld().hooks.clear();
  // While a transition runs that a test left behind, its threads are on their way out.
  EXPECT_TRUE(registry().Wait(absl::Seconds(20)).ok());
  if (modules_ != nullptr) {
    for (const ModuleStatus& module : modules_->Status()) {
      EXPECT_TRUE(modules_->Unload(module.name).ok());
    }
  }
  EXPECT_EQ(module_loader_.live, 0);
  CoreTest::TearDown();
}

ModuleRegistry& ModuleTest::modules() {
  if (modules_ == nullptr) {
    modules_ = std::make_unique<ModuleRegistry>(&module_loader_, &registry(), &events_, nullptr);
  }
  return *modules_;
}

std::unique_ptr<Patch> ModuleTest::MakeObjectPatch(const std::string& name,
                                                   const std::vector<Replacement>& program,
                                                   const std::vector<ModulePatch>& functions,
                                                   const ObjectCallbacks& callbacks, bool replace) {
  std::unique_ptr<Patch> patch = MakePatch(name, replace, program);
  patch->objects[0].callbacks = callbacks;
  for (const ModulePatch& wanted : functions) {
    PatchObject* object = nullptr;
    for (PatchObject& other : patch->objects) {
      if (other.name == wanted.object) object = &other;
    }
    if (object == nullptr) {
      patch->objects.emplace_back();
      object = &patch->objects.back();
      object->name = wanted.object;
      object->callbacks = callbacks;
    }
    if (wanted.old_name.empty()) continue;  // callbacks only
    PatchFunction function;
    function.old.object = wanted.object;
    function.old.name = wanted.old_name;
    function.old.sympos = wanted.sympos;
    function.new_body = wanted.new_function.text.begin;
    function.new_text = wanted.new_function.text;
    loader_.Know(wanted.new_function);
    object->functions.push_back(std::move(function));
  }
  return patch;
}

}  // namespace mend::testing
