// Frame: the outermost layer of everything that mend writes to files: a magic word, the sizes and a
// zstd stream with a content checksum, so that foreign, cut-off and damaged input is told apart
// and never reaches a parser.
//
//   bytes 0..7    magic, 8 characters
//   bytes 8..15   little-endian size of what follows the header
//   bytes 16..23  little-endian size of the contents after decompression
//   bytes 24..    zstd frame with checksum
#ifndef MEND_RUNTIME_FORMAT_FRAME_H_
#define MEND_RUNTIME_FORMAT_FRAME_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace mend {

// No frame that mend reads may unpack to more than this.
inline constexpr size_t kFrameContentsSizeMax = size_t{1} << 30;

// For what is written while somebody waits, and for what is written once and kept: some ms for a
// source of 100 kB.
inline constexpr int kFrameLevelFast = 3;
inline constexpr int kFrameLevelSmall = 19;

// REQUIRES: `magic` has 8 characters.
std::string WrapFrame(std::string_view magic, std::string_view contents,
                      int level = kFrameLevelFast);

// The same of contents that are several kinds of bytes in a row: each part is compressed by its own
// statistics. What is read is one string.
// `hint`: bytes that the contents have much in common with; the reader needs the same.
std::string WrapFrameOfParts(std::string_view magic, const std::vector<std::string>& parts,
                             int level, std::string_view hint = {});

// The contents; bytes behind the frame are ignored. INVALID_ARGUMENT: another magic ("not a ..."),
// cut off, damaged, another hint.
absl::StatusOr<std::string> UnwrapFrame(std::string_view magic, std::string_view frame,
                                        std::string_view hint = {});

// The size of the whole frame that begins at `bytes`; for walking several in a row.
absl::StatusOr<size_t> FrameSize(std::string_view magic, std::string_view bytes);

}  // namespace mend

#endif  // MEND_RUNTIME_FORMAT_FRAME_H_
