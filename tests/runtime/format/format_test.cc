// What mend writes it reads back, and what is foreign, cut off or damaged it refuses: every prefix
// and every single-bit change of each format is tried.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "runtime/format/byte_order.h"
#include "runtime/format/common_text.h"
#include "runtime/format/frame.h"
#include "runtime/format/object_description.h"
#include "runtime/format/patch_module.h"
#include "runtime/format/program_image.h"

namespace mend {
namespace {

constexpr char kMagic[] = "TESTTEST";

PatchModule SampleModule() {
  PatchModule module{
      .name = "fix", .replace = true, .hold = {"serve"}, .units = {}, .content_hash = ""};
  module.units.push_back(
      {.unit = "a.c|a.o",
       .functions = {{.name = "f",
                      .binding = Binding::kLocal,
                      .reason = ChangeReason::kInlines,
                      .detail = "inlines g",
                      .base_fingerprint = "00ff"}},
       .new_functions = {"h"},
       .new_data = {"table"},
       .references =
           {{.name = "counter", .binding = Binding::kLocal, .size = 8, .base_fingerprint = "aa"}},
       .types = {{.name = "struct T", .layout = "bb", .refusal = "MEND-E0101", .is_allowed = true}},
       .object = std::string("\x7f"
                             "ELF\0\1",
                             6)});
  return module;
}

ObjectDescription SampleDescription() {
  ObjectDescription description;
  description.source = "a.c";
  description.output = "a.o";
  description.arguments = {"-O2", "-DX=\"\xff\""};
  description.functions.push_back({.name = "f",
                                   .binding = Binding::kGlobal,
                                   .size = 12,
                                   .patchable = true,
                                   .fingerprint = "ab"});
  description.records.push_back({.name = "S",
                                 .kind = "struct",
                                 .size_bytes = 8,
                                 .alignment_bytes = 4,
                                 .fields = {{.name = "x",
                                             .type = "int",
                                             .meaning = "integer 32",
                                             .offset_bits = 32,
                                             .size_bits = 32}},
                                 .vtable = {}});
  description.variables = description.records;
  description.variables[0].name = "s";
  description.variables[0].initializer = "12";
  description.input_hashes = {{"f", "cd"}, {"inlined", "ef"}};
  return description;
}

TEST(FrameTest, ContentsSurvive) {
  const std::string frame = WrapFrame(kMagic, "contents");
  EXPECT_EQ(*UnwrapFrame(kMagic, frame), "contents");
  EXPECT_EQ(*UnwrapFrame(kMagic, frame + "what follows"), "contents");
  EXPECT_EQ(*FrameSize(kMagic, frame + "what follows"), frame.size());
}

TEST(FrameTest, EveryPrefixIsRefused) {
  const std::string frame = WrapFrame(kMagic, "contents");
  for (size_t size = 0; size < frame.size(); ++size) {
    EXPECT_FALSE(UnwrapFrame(kMagic, frame.substr(0, size)).ok()) << size;
  }
}

TEST(FrameTest, EveryBitFlipIsRefused) {
  const std::string frame = WrapFrame(kMagic, "contents that are worth a checksum");
  for (size_t bit = 0; bit < frame.size() * 8; ++bit) {
    std::string damaged = frame;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    const auto contents = UnwrapFrame(kMagic, damaged);
    // A few bits of a zstd header carry no meaning; no flip may change what is read.
    if (contents.ok()) {
      EXPECT_EQ(*contents, "contents that are worth a checksum") << bit;
    }
  }
}

TEST(FrameTest, LargeContentsSurvive) {
  std::string contents;
  for (int i = 0; i < 400'000; ++i) contents += std::to_string(i);
  contents += std::string(5 << 20, 'x');
  EXPECT_EQ(*UnwrapFrame(kMagic, WrapFrame(kMagic, contents)), contents);
  EXPECT_EQ(
      *UnwrapFrame(kMagic,
                   WrapFrameOfParts(kMagic, {contents, "", contents}, kFrameLevelFast, contents),
                   contents),
      contents + contents);
  EXPECT_EQ(*UnwrapFrame(kMagic, WrapFrame(kMagic, "")), "");
}

TEST(FrameTest, SizeThatIsOnlyClaimedTakesNoMemory) {
  std::string frame = WrapFrame(kMagic, std::string(1000, 'x'));
  for (const uint64_t size : {uint64_t{999}, uint64_t{1001}, uint64_t{kFrameContentsSizeMax}}) {
    WriteLittleEndian64(frame, 16, size);
    EXPECT_FALSE(UnwrapFrame(kMagic, frame).ok()) << size;
  }
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  EXPECT_LT(usage.ru_maxrss, 512 << 10) << "kilobytes";
}

TEST(FrameTest, AnotherMagicIsRefused) {
  EXPECT_EQ(UnwrapFrame("OTHERONE", WrapFrame(kMagic, "x")).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(PatchModuleTest, SurvivesTheRoundTrip) {
  PatchModule module = SampleModule();
  const std::string file = SerializePatchModule(module);
  const auto read = ParsePatchModule(file);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->name, "fix");
  EXPECT_EQ(read->hold, module.hold);
  EXPECT_EQ(read->content_hash, module.content_hash);
  ASSERT_EQ(read->units.size(), 1u);
  EXPECT_EQ(read->units[0].object, module.units[0].object);
  EXPECT_EQ(read->units[0].functions[0].name, "f");
  EXPECT_EQ(read->units[0].functions[0].reason, ChangeReason::kInlines);
  EXPECT_EQ(read->units[0].references[0].size, 8u);
  EXPECT_EQ(read->units[0].new_data, module.units[0].new_data);
  ASSERT_EQ(read->units[0].types.size(), 1u);
  EXPECT_EQ(read->units[0].types[0].name, "struct T");
  EXPECT_EQ(read->units[0].types[0].layout, "bb");
  EXPECT_EQ(read->units[0].types[0].refusal, "MEND-E0101");
  EXPECT_TRUE(read->units[0].types[0].is_allowed);
}

TEST(PatchModuleTest, UnitsOfGuestModulesAndPositionsSurvive) {
  PatchModule module = SampleModule();
  module.units[0].module = "plugin";
  module.units[0].functions[0].position = 2;
  const auto read = ParsePatchModule(SerializePatchModule(module));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->units[0].module, "plugin");
  EXPECT_EQ(read->units[0].functions[0].position, 2u);
  for (const unsigned position : {0u, 1'000'001u}) {
    module.units[0].functions[0].position = position;
    EXPECT_FALSE(ParsePatchModule(SerializePatchModule(module)).ok()) << position;
  }
}

PatchModule SampleExplicitModule() {
  PatchModule module;
  module.name = "demo";
  module.replace = false;
  module.objects = {{.name = "a.c", .bytes = "first object"},
                    {.name = "b.o",
                     .bytes = "\x7f"
                              "ELF"}};
  return module;
}

TEST(PatchModuleTest, ExplicitOnesSurviveTheRoundTrip) {
  PatchModule module = SampleExplicitModule();
  const auto read = ParsePatchModule(SerializePatchModule(module));
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_TRUE(read->is_explicit());
  EXPECT_FALSE(read->replace);
  EXPECT_EQ(read->content_hash, module.content_hash);
  ASSERT_EQ(read->objects.size(), 2u);
  EXPECT_EQ(read->objects[0].name, "a.c");
  EXPECT_EQ(read->objects[0].bytes, "first object");
  EXPECT_EQ(read->objects[1].bytes,
            "\x7f"
            "ELF");
}

TEST(PatchModuleTest, NoModuleIsOfBothKinds) {
  PatchModule module = SampleModule();
  module.objects = SampleExplicitModule().objects;
  EXPECT_FALSE(ParsePatchModule(SerializePatchModule(module)).ok());
}

TEST(PatchModuleTest, EveryPrefixOfAnExplicitOneIsRefused) {
  PatchModule module = SampleExplicitModule();
  const std::string file = SerializePatchModule(module);
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_FALSE(ParsePatchModule(file.substr(0, size)).ok()) << size;
  }
}

TEST(PatchModuleTest, ContentHashTellsModulesApart) {
  PatchModule one = SampleModule(), other = SampleModule();
  other.units[0].object += 'x';
  SerializePatchModule(one);
  SerializePatchModule(other);
  EXPECT_NE(one.content_hash, other.content_hash);
}

TEST(PatchModuleTest, EveryPrefixIsRefused) {
  PatchModule module = SampleModule();
  const std::string file = SerializePatchModule(module);
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_FALSE(ParsePatchModule(file.substr(0, size)).ok()) << size;
  }
}

TEST(PatchModuleTest, WrongTypesInsideAreRefused) {
  const std::string header =
      R"({"version":5,"name":7,"replace":true,"replace_set":"","hold":[],"changed_layouts":[],"units":[],"objects":[]})";
  std::string contents(8, '\0');
  contents[0] = static_cast<char>(header.size());
  const auto read = ParsePatchModule(WrapFrame("MENDPTCH", contents + header));
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(std::string(read.status().message()), "patch module: field 'name' is not a string");
}

TEST(ObjectDescriptionTest, SurvivesTheRoundTrip) {
  const auto read = ParseObjectDescription(SerializeObjectDescription(SampleDescription()));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->UnitName(), "a.c|a.o|" + read->directory);
  EXPECT_EQ(read->functions[0].size, 12u);
  EXPECT_TRUE(read->functions[0].patchable);
  EXPECT_EQ(read->records[0].fields[0].offset_bits, 32u);
  // Bytes that are no UTF-8 are replaced: names end in JSON.
  EXPECT_EQ(read->arguments, (std::vector<std::string>{"-O2", "-DX=\"\uFFFD\""}));
  EXPECT_EQ(read->input_hashes, SampleDescription().input_hashes);
}

TEST(ObjectDescriptionTest, HashesOfAnyKindSurvive) {
  const std::map<std::string, std::string> hashes = {{"full", "0123456789abcdef0123456789abcdef"},
                                                     {"none", ""},
                                                     {"odd", "abc"},
                                                     {"upper", "AB"},
                                                     {"text", "xy"}};
  ObjectDescription description;
  description.input_hashes = hashes;
  const auto read = ParseObjectDescription(SerializeObjectDescription(description));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->input_hashes, hashes);
}

TEST(ObjectDescriptionTest, OtherVersionsAreRefusedByName) {
  for (const auto& [contents, version] :
       {std::pair<std::string, std::string>(R"({"version":3})", "version 3 or older"),
        std::pair<std::string, std::string>("\x04", "version 4")}) {
    const auto read = ParseObjectDescription(WrapFrame("MENDOBJT", contents));
    ASSERT_FALSE(read.ok());
    EXPECT_THAT(std::string(read.status().message()),
                testing::AllOf(testing::HasSubstr(version), testing::HasSubstr("version 8")));
  }
}

TEST(ObjectDescriptionTest, DamageIsRefusedOrReadAsSomethingElse) {
  const std::string contents =
      *UnwrapFrame("MENDOBJT", SerializeObjectDescription(SampleDescription()), kCommonText);
  for (size_t size = 0; size < contents.size(); ++size) {
    EXPECT_FALSE(ParseObjectDescription(WrapFrame("MENDOBJT", contents.substr(0, size))).ok());
  }
  EXPECT_FALSE(ParseObjectDescription(WrapFrame("MENDOBJT", contents + 'x')).ok());
  // A flipped bit may make another description, but nothing that cannot be read to its end.
  for (size_t bit = 8; bit < contents.size() * 8; ++bit) {
    std::string damaged = contents;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    const auto read = ParseObjectDescription(WrapFrame("MENDOBJT", damaged));
    if (read.ok()) EXPECT_LE(read->functions.size(), contents.size());
  }
}

TEST(SourcesTest, AnyBytesSurvive) {
  const std::vector<SourceText> sources = {{"a.c", std::string("\0\xff\n", 3)}, {"b.h", ""}};
  const auto read = ParseSources(SerializeSources(sources));
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->size(), 2u);
  EXPECT_EQ((*read)[0].contents, sources[0].contents);
  EXPECT_EQ((*read)[1].path, "b.h");
}

TEST(ProgramImageTest, ObjectsKeepOrderBytesAndAlignment) {
  const std::string image =
      SerializeProgramImage({{"a.o", "12345", 2}, {"lib.a(b.o)", ""}, {"c.o", "x"}});
  const auto objects = ParseProgramImage(image);
  ASSERT_TRUE(objects.ok()) << objects.status();
  ASSERT_EQ(objects->size(), 3u);
  EXPECT_EQ((*objects)[0].bytes, "12345");
  EXPECT_EQ((*objects)[0].link, 2u);
  EXPECT_EQ((*objects)[1].name, "lib.a(b.o)");
  EXPECT_EQ((*objects)[1].link, 0u);
  EXPECT_EQ(((*objects)[2].bytes.data() - image.data()) % 16, 0);
}

TEST(ProgramImageTest, EveryPrefixIsRefusedOrComplete) {
  const std::string image = SerializeProgramImage({{"a.o", std::string(64, 'x')}});
  for (size_t size = 0; size < image.size(); ++size) {
    EXPECT_FALSE(ParseProgramImage(image.substr(0, size)).ok()) << size;
  }
}

TEST(ProgramImageTest, AnOrdinaryExecutableHasNone) {
  EXPECT_EQ(FindProgramImage("#!/bin/sh\n").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(FindProgramImage("").status().code(), absl::StatusCode::kNotFound);
}

TEST(ModuleNameTest, EveryFileHasOneThatIsValid) {
  EXPECT_EQ(GuestModuleName("/lib/mod_ssl.so.1"), "mod_ssl");
  EXPECT_EQ(GuestModuleName(std::string(kModuleNameMax, 'm') + ".so"),
            std::string(kModuleNameMax, 'm'));
  EXPECT_EQ(GuestModuleName(".so"), "_");
  EXPECT_EQ(GuestModuleName(".hidden.so"), "_hidden");
  EXPECT_EQ(GuestModuleName("d/a b:c,d~\xe9.so"), "a_b_c_d__");
  const std::string cut = GuestModuleName(std::string(kModuleNameMax + 1, 'm') + ".so");
  EXPECT_TRUE(IsModuleName(cut)) << cut;
  EXPECT_TRUE(IsModuleName(cut + "-999")) << "a number fits behind it";
}

}  // namespace
}  // namespace mend
