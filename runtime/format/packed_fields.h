// Fields one behind the other, for descriptions that are read by the hundred: numbers in seven-bit
// groups; of a text that stood before, how many new ones ago, else 0 and its size; of a hash, its
// size. The reader knows the order; nothing is named or marked.
//
//   version, size of all texts, size of the fields | the texts | the fields | the hashes
//
// These are kept apart because each kind compresses as its own kind does: among the hashes, which
// do not compress at all, the fields would take three times the room.
#ifndef MEND_RUNTIME_FORMAT_PACKED_FIELDS_H_
#define MEND_RUNTIME_FORMAT_PACKED_FIELDS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
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
    if (!is_new) return Number(numbers_.size() - found->second);
    Number(0);
    Number(text.size());
    texts_ += text;
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
      hashes_ += bytes;
    } else {
      Number(kHashAsText);
      Text(hash);
    }
  }

  // In parts that are worth compressing apart; what is read is all of them in a row.
  std::vector<std::string> Finish(uint64_t version) const {
    std::string head;
    Append(head, version);
    Append(head, texts_.size());
    Append(head, fields_.size());
    return {head + texts_, fields_, hashes_};
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
  std::string hashes_;
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
    const uint64_t texts_size = Number();
    const uint64_t fields_size = Number();
    std::string_view rest = std::exchange(rest_, {});
    text_bytes_ = Split(rest, texts_size);
    rest_ = Split(rest, fields_size);
    hashes_ = rest;
    if (!status_->ok()) rest_ = {};
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
    const uint64_t distance = Number();
    if (distance == 0) {
      texts_.push_back(Split(text_bytes_, Number()));
      return std::string(texts_.back());
    }
    if (distance <= texts_.size()) return std::string(texts_[texts_.size() - distance]);
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
    for (const char c : Split(hashes_, size)) {
      const auto byte = static_cast<uint8_t>(c);
      hash += kDigits[byte >> 4];
      hash += kDigits[byte & 15];
    }
    return hash;
  }

  // Without a problem, everything must have been read.
  void End() {
    if (!rest_.empty() || !text_bytes_.empty() || !hashes_.empty()) Fail("is damaged");
  }
  void Fail(std::string_view problem) {
    if (status_->ok()) {
      *status_ = absl::InvalidArgumentError(absl::StrCat(what_, " ", std::string(problem)));
    }
    rest_ = {};
  }

 private:
  // Takes them off the beginning of `bytes`.
  std::string_view Split(std::string_view& bytes, uint64_t size) {
    if (size > bytes.size()) {
      Fail("is damaged");
      return {};
    }
    const std::string_view taken = bytes.substr(0, size);
    bytes.remove_prefix(size);
    return taken;
  }

  std::string_view rest_;  // of the fields
  std::string_view text_bytes_;
  std::string_view hashes_;
  const char* const what_;
  absl::Status* const status_;
  std::vector<std::string_view> texts_;
};

}  // namespace mend

#endif  // MEND_RUNTIME_FORMAT_PACKED_FIELDS_H_
