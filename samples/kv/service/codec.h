// How a value travels: its encoding, and a checksum over what is sent. The two belong together: a
// client picks the checksum's algorithm by the encoding's tag.
#ifndef MEND_SAMPLES_KV_SERVICE_CODEC_H_
#define MEND_SAMPLES_KV_SERVICE_CODEC_H_

#include <string>

namespace kv {

// A tag, ':' and the value in the form that the tag names.
std::string Encode(const std::string& value);

// A tag, ':' and the checksum of the plain value.
std::string Checksum(const std::string& value);

}  // namespace kv

#endif  // MEND_SAMPLES_KV_SERVICE_CODEC_H_
