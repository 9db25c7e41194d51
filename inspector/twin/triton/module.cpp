#include "module.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>

using gentl::Error;
using gentl::fail;

namespace {
// Where every module's description lies in its register map, far above the registers.
constexpr uint64_t kXmlAddress = 0x1000000;
}  // namespace

Error Module::read(uint64_t address, uint8_t* out, size_t size) {
  if (const Error error = reachable()) return error;
  if (address < kXmlAddress) return read_register(address, out, size);
  // Hosts read whole words: beyond the end there are zeros.
  const uint64_t begin = std::min<uint64_t>(address - kXmlAddress, xml_.size());
  const size_t there = std::min<size_t>(size, xml_.size() - begin);
  std::memcpy(out, xml_.data() + begin, there);
  std::memset(out + there, 0, size - there);
  return gentl::kSuccess;
}

Error Module::write(uint64_t address, const uint8_t* data, size_t size) {
  if (const Error error = reachable()) return error;
  return write_register(address, data, size);
}

Error Module::read_register(uint64_t, uint8_t*, size_t) {
  return fail(gentl::kInvalidAddress, "this module has no register there");
}

Error Module::write_register(uint64_t, const uint8_t*, size_t) {
  return fail(gentl::kInvalidAddress, "this module has no register there");
}

std::string Module::url() const {
  char place[96];
  std::snprintf(place, sizeof place, ";%" PRIx64 ";%zx?SchemaVersion=1.1.0", kXmlAddress,
                xml_.size());
  return "Local:///" + file_name() + place;
}

Error Module::url_info(int32_t command, const gentl::Answer& answer) const {
  switch (command) {
    case gentl::kUrl: return answer.text(url());
    case gentl::kSchemaMajor:
    case gentl::kSchemaMinor:
    case gentl::kFileMajor: return answer.int32(1);
    case gentl::kFileMinor:
    case gentl::kFileSubMinor: return answer.int32(0);
    case gentl::kFileAddress: return answer.uint64(kXmlAddress);
    case gentl::kFileSize: return answer.uint64(xml_.size());
    case gentl::kFileScheme: return answer.int32(0);
    case gentl::kFileName: return answer.text(file_name());
    default: return fail(gentl::kNotAvailable, "no such URL information");
  }
}

Error Module::port_info(int32_t command, const gentl::Answer& answer) const {
  switch (command) {
    case gentl::kPortId:
    case gentl::kPortModule:
    case gentl::kPortName: return answer.text(port_);
    case gentl::kPortVendor: return answer.text(kVendor);
    case gentl::kPortModel: return answer.text(kModel);
    case gentl::kPortTlType: return answer.text(kTlType);
    case gentl::kPortLittleEndian:
    case gentl::kPortRead:
    case gentl::kPortWrite: return answer.boolean(true);
    case gentl::kPortBigEndian:
    case gentl::kPortNotAvailable:
    case gentl::kPortNotImplemented: return answer.boolean(false);
    case gentl::kPortVersion: return answer.text(kVersion);
    default: return fail(gentl::kNotAvailable, "no such port information");
  }
}
