// Fields one behind the other, for descriptions that are read by the hundred: numbers in seven-bit
// groups, texts as numbers of a table in which each stands once, hashes as bytes. The reader knows
// the order; nothing is named or marked.
//
//   version, number of texts, each with its size before it, then the fields
#ifndef MEND_RUNTIME_FORMAT_PACKED_FIELDS_H_
#define MEND_RUNTIME_FORMAT_PACKED_FIELDS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace mend {

class PackedWriter {
 public:
  void Number(uint64_t number) { Append(fields_, number); }
  void Bool(bool value) { Number(value ? 1 : 0); }
  void Text(const std::string& text) {
    const auto [found, is_new] = numbers_.try_emplace(text, numbers_.size());
    if (is_new) {
      Append(texts_, text.size());
      texts_ += text;
    }
    Number(found->second);
  }
  void Texts(const std::vector<std::string>& texts) {
    Number(texts.size());
    for (const std::string& text : texts) Text(text);
  }
  // Hex digits, or any other text, which takes more room.
  void Hash(const std::string& hash) {
    std::string bytes;
    for (size_t i = 0; i + 1 < hash.size(); i += 2) {
      const int high = Digit(hash[i]), low = Digit(hash[i + 1]);
      if (high < 0 || low < 0) break;
      bytes += static_cast<char>(high * 16 + low);
    }
    if (bytes.size() * 2 == hash.size()) {
      Number(bytes.size());
      fields_ += bytes;
    } else {
      Number(kHashAsText);
      Text(hash);
    }
  }

  std::string Finish(uint64_t version) const {
    std::string packed;
    Append(packed, version);
    Append(packed, numbers_.size());
    return packed + texts_ + fields_;
  }

  static constexpr uint64_t kHashAsText = 1000;  // in the place of a hash's size

 private:
  static void Append(std::string& bytes, uint64_t number) {
    for (; number >= 0x80; number >>= 7) bytes += static_cast<char>((number & 0x7f) | 0x80);
    bytes += static_cast<char>(number);
  }
  // Lower case only: what is read back must be what was written.
  static int Digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  }

  std::unordered_map<std::string, uint64_t> numbers_;
  std::string texts_;
  std::string fields_;
};

// Reads bytes that may be anything. A reader remembers the first thing that was wrong; what is read
// after that is empty.
class PackedReader {
 public:
  // `what` names the document in messages; `status` collects the first error. `bytes` must outlive
  // the reader.
  PackedReader(std::string_view bytes, const char* what, uint64_t version, absl::Status* status)
      : rest_(bytes), what_(what), status_(status) {
    const uint64_t found = Number();
    if (status_->ok() && found != version) {
      // Up to version 3 it was JSON.
      const std::string other = bytes[0] == '{' ? "3 or older" : absl::StrCat(found);
      Fail(absl::StrCat("has version ", other, ", this mend reads version ", version,
                        ": compile it again"));
    }
    const size_t count = Count();
    texts_.reserve(count);
    for (size_t i = 0; i < count; ++i) texts_.push_back(Bytes(Number()));
  }

  uint64_t Number() {
    uint64_t number = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (rest_.empty()) break;
      const auto byte = static_cast<uint8_t>(rest_.front());
      rest_.remove_prefix(1);
      number |= uint64_t{byte & 0x7fu} << shift;
      if ((byte & 0x80) == 0) return number;
    }
    Fail("is damaged");
    return 0;
  }
  // A number of things that take a byte each at least.
  size_t Count() {
    const uint64_t count = Number();
    if (count <= rest_.size()) return count;
    Fail("is damaged");
    return 0;
  }
  bool Bool() { return Number() != 0; }
  std::string Text() {
    const uint64_t number = Number();
    if (number < texts_.size()) return std::string(texts_[number]);
    Fail("is damaged");
    return {};
  }
  std::vector<std::string> Texts() {
    std::vector<std::string> texts;
    const size_t count = Count();
    texts.reserve(count);
    for (size_t i = 0; i < count; ++i) texts.push_back(Text());
    return texts;
  }
  std::string Hash() {
    constexpr char kDigits[] = "0123456789abcdef";
    const uint64_t size = Number();
    if (size == PackedWriter::kHashAsText) return Text();
    std::string hash;
    for (const char c : Bytes(size)) {
      const auto byte = static_cast<uint8_t>(c);
      hash += kDigits[byte >> 4];
      hash += kDigits[byte & 15];
    }
    return hash;
  }

  // Without a problem, everything must have been read.
  void End() {
    if (!rest_.empty()) Fail("is damaged");
  }
  void Fail(std::string_view problem) {
    if (status_->ok()) {
      *status_ = absl::InvalidArgumentError(absl::StrCat(what_, " ", std::string(problem)));
    }
    rest_ = {};
  }

 private:
  std::string_view Bytes(uint64_t size) {
    if (size > rest_.size()) {
      Fail("is damaged");
      return {};
    }
    const std::string_view bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return bytes;
  }

  std::string_view rest_;
  const char* const what_;
  absl::Status* const status_;
  std::vector<std::string_view> texts_;
};

}  // namespace mend

#endif  // MEND_RUNTIME_FORMAT_PACKED_FIELDS_H_
