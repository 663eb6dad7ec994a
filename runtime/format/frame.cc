#include "runtime/format/frame.h"

#include <zstd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "runtime/base/check.h"
#include "runtime/format/byte_order.h"

namespace mend {
namespace {

constexpr size_t kMagicSize = 8;
constexpr size_t kHeaderSize = 24;
constexpr size_t kFirstRoom = size_t{1} << 16;
// As far as kFrameContentsSizeMax.
constexpr int kWindowLogMax = 30;

struct ContextDeleter {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};

struct DecompressorDeleter {
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

struct Header {
  uint64_t compressed_size;
  uint64_t contents_size;
};

absl::StatusOr<Header> ReadHeader(std::string_view magic, std::string_view bytes) {
  if (bytes.substr(0, kMagicSize) != magic) {
    return absl::InvalidArgumentError(absl::StrCat("not a ", std::string(magic), " frame"));
  }
  if (bytes.size() < kHeaderSize) return absl::InvalidArgumentError("the frame is cut off");
  const Header header{ReadLittleEndian64(bytes, 8), ReadLittleEndian64(bytes, 16)};
  if (header.compressed_size > bytes.size() - kHeaderSize) {
    return absl::InvalidArgumentError("the frame is cut off");
  }
  if (header.contents_size > kFrameContentsSizeMax) {
    return absl::InvalidArgumentError("the frame claims to be too large");
  }
  return header;
}

// What zstd may add to each part, besides the bound of the whole: it begins a block of its own.
constexpr size_t kPartOverheadMax = 64;

std::string WrapParts(std::string_view magic, const std::vector<std::string_view>& parts, int level,
                      std::string_view hint) {
  MEND_CHECK(magic.size() == kMagicSize, "a frame's magic has 8 characters");
  const std::unique_ptr<ZSTD_CCtx, ContextDeleter> context(ZSTD_createCCtx());
  MEND_CHECK(context != nullptr, "out of memory in zstd");
  size_t contents_size = 0;
  for (const std::string_view part : parts) contents_size += part.size();
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, level);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, 1);
  ZSTD_CCtx_setPledgedSrcSize(context.get(), contents_size);
  if (!hint.empty()) ZSTD_CCtx_refPrefix(context.get(), hint.data(), hint.size());
  std::string frame(
      kHeaderSize + ZSTD_compressBound(contents_size) + parts.size() * kPartOverheadMax, '\0');
  ZSTD_outBuffer out = {frame.data() + kHeaderSize, frame.size() - kHeaderSize, 0};
  for (size_t i = 0; i < parts.size(); ++i) {
    const bool is_last = i + 1 == parts.size();
    ZSTD_inBuffer in = {parts[i].data(), parts[i].size(), 0};
    const size_t left =
        ZSTD_compressStream2(context.get(), &out, &in, is_last ? ZSTD_e_end : ZSTD_e_flush);
    MEND_CHECK(left == 0, "zstd cannot compress into a buffer of its own bound");
  }
  frame.resize(kHeaderSize + out.pos);
  std::memcpy(frame.data(), magic.data(), kMagicSize);
  WriteLittleEndian64(frame, 8, out.pos);
  WriteLittleEndian64(frame, 16, contents_size);
  return frame;
}

}  // namespace

std::string WrapFrame(std::string_view magic, std::string_view contents, int level) {
  return WrapParts(magic, {contents}, level, {});
}

std::string WrapFrameOfParts(std::string_view magic, const std::vector<std::string>& parts,
                             int level, std::string_view hint) {
  return WrapParts(magic, {parts.begin(), parts.end()}, level, hint);
}

absl::StatusOr<std::string> UnwrapFrame(std::string_view magic, std::string_view frame,
                                        std::string_view hint) {
  const absl::StatusOr<Header> header = ReadHeader(magic, frame);
  if (!header.ok()) return header.status();
  const std::unique_ptr<ZSTD_DCtx, DecompressorDeleter> context(ZSTD_createDCtx());
  MEND_CHECK(context != nullptr, "out of memory in zstd");
  if (!hint.empty()) ZSTD_DCtx_refPrefix(context.get(), hint.data(), hint.size());
  ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, kWindowLogMax);
  std::string contents;
  ZSTD_inBuffer in = {frame.data() + kHeaderSize, header->compressed_size, 0};
  // What the header says is believed as far as there are bytes for it: memory is taken for what has
  // come, and for what may be the rest if it is small.
  size_t room = std::max(kFirstRoom, in.size * 4);
  bool has_moved = true;
  for (size_t left = 1; left != 0 && has_moved; room *= 4) {
    const size_t taken = contents.size(), read = in.pos;
    contents.resize(std::min(room, size_t{header->contents_size}));
    ZSTD_outBuffer out = {contents.data(), contents.size(), taken};
    left = ZSTD_decompressStream(context.get(), &out, &in);
    if (ZSTD_isError(left)) {
      return absl::InvalidArgumentError(
          absl::StrCat("the frame is damaged: ", ZSTD_getErrorName(left)));
    }
    contents.resize(out.pos);
    has_moved = in.pos > read || out.pos > taken;
  }
  if (contents.size() != header->contents_size || in.pos != in.size || !has_moved) {
    return absl::InvalidArgumentError("the frame is damaged: another size than it says");
  }
  return contents;
}

absl::StatusOr<size_t> FrameSize(std::string_view magic, std::string_view bytes) {
  const absl::StatusOr<Header> header = ReadHeader(magic, bytes);
  if (!header.ok()) return header.status();
  return kHeaderSize + header->compressed_size;
}

}  // namespace mend
