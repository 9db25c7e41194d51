// The part of the GenTL 1.5 C interface that this producer implements: values of the standard, and
// the way an info function answers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

namespace gentl {

enum Error : int32_t {
  kSuccess = 0,
  kError = -1001,
  kNotInitialized = -1002,
  kNotImplemented = -1003,
  kResourceInUse = -1004,
  kAccessDenied = -1005,
  kInvalidHandle = -1006,
  kInvalidId = -1007,
  kNoData = -1008,
  kInvalidParameter = -1009,
  kIo = -1010,
  kTimeout = -1011,
  kAbort = -1012,
  kInvalidBuffer = -1013,
  kNotAvailable = -1014,
  kInvalidAddress = -1015,
  kBufferTooSmall = -1016,
  kInvalidIndex = -1017,
  kBusy = -1022,
};

enum DataType : int32_t {
  kString = 1,
  kInt32 = 5,
  kUint32 = 6,
  kUint64 = 8,
  kPointer = 10,
  kBool8 = 11,
  kSize = 12,
};

enum TlInfo { kTlId, kTlVendor, kTlModel, kTlVersion, kTlType, kTlName, kTlPathname, kTlDisplayName,
              kTlCharEncoding, kTlGentlMajor, kTlGentlMinor };
enum InterfaceInfo { kInterfaceId, kInterfaceDisplayName, kInterfaceTlType };
enum DeviceInfo { kDeviceId, kDeviceVendor, kDeviceModel, kDeviceTlType, kDeviceDisplayName,
                  kDeviceAccessStatus, kDeviceUserName, kDeviceSerial, kDeviceVersion,
                  kDeviceTimestampFrequency };
enum AccessStatus : int32_t { kReadWrite = 1, kNoAccess = 3, kStatusBusy = 4, kOpenReadWrite = 5 };
enum StreamInfo { kStreamId, kNumDelivered, kNumUnderrun, kNumAnnounced, kNumQueued,
                  kNumAwaitDelivery, kNumStarted, kPayloadSize, kIsGrabbing, kDefinesPayloadSize,
                  kStreamTlType, kNumChunksMax, kBufAnnounceMin, kBufAlignment };
enum BufferInfo { kBufferBase, kBufferSize, kUserPtr, kTimestamp, kNewData, kIsQueued, kIsAcquiring,
                  kIsIncomplete, kBufferTlType, kSizeFilled, kWidth, kHeight, kXOffset, kYOffset,
                  kXPadding, kYPadding, kFrameId, kImagePresent, kImageOffset, kPayloadType,
                  kPixelFormat, kPixelFormatNamespace, kDeliveredImageHeight,
                  kDeliveredChunkPayloadSize, kChunkLayoutId, kFilename, kPixelEndianness,
                  kDataSize, kTimestampNs, kDataLargerThanBuffer, kContainsChunkData,
                  kIsComposite };
enum PortInfo { kPortId, kPortVendor, kPortModel, kPortTlType, kPortModule, kPortLittleEndian,
                kPortBigEndian, kPortRead, kPortWrite, kPortNotAvailable, kPortNotImplemented,
                kPortVersion, kPortName };
enum UrlInfo { kUrl, kSchemaMajor, kSchemaMinor, kFileMajor, kFileMinor, kFileSubMinor, kFileSha1,
               kFileAddress, kFileSize, kFileScheme, kFileName };
enum QueueOperation { kInputToOutput, kOutputDiscard, kAllToInput, kUnqueuedToInput, kAllDiscard };
enum EventInfo { kEventType, kEventNumInQueue, kEventNumFired, kEventSizeMax, kEventDataSizeMax };

constexpr int32_t kEventNewBuffer = 1;
constexpr uint64_t kInfinite = ~uint64_t{0};
constexpr size_t kPayloadTypeImage = 1;
constexpr uint64_t kPixelFormatPfnc32 = 4;
constexpr int32_t kLittleEndian = 1;

// What a new-buffer event hands out (EVENT_NEW_BUFFER_DATA).
struct NewBufferData {
  void* buffer;
  void* user;
};

// One chunk of a buffer (SINGLE_CHUNK_DATA).
struct ChunkData {
  uint64_t id;
  ptrdiff_t offset;
  size_t length;
};

// Notes why a call failed, for GCGetLastError of the same thread.
Error fail(Error code, const char* why);

// The three places an info function writes its answer to.
struct Answer {
  int32_t* type;
  void* buffer;
  size_t* size;

  Error bytes(DataType kind, const void* value, size_t length) const {
    if (size == nullptr) return fail(kInvalidParameter, "no place for the size");
    if (type != nullptr) *type = kind;
    if (buffer == nullptr) {
      *size = length;
      return kSuccess;
    }
    if (*size < length) return fail(kBufferTooSmall, "the buffer is too small for the answer");
    std::memcpy(buffer, value, length);
    *size = length;
    return kSuccess;
  }
  Error text(const std::string& value) const {
    return bytes(kString, value.c_str(), value.size() + 1);
  }
  Error boolean(bool value) const {
    const uint8_t byte = value ? 1 : 0;
    return bytes(kBool8, &byte, sizeof byte);
  }
  Error int32(int32_t value) const { return bytes(kInt32, &value, sizeof value); }
  Error uint32(uint32_t value) const { return bytes(kUint32, &value, sizeof value); }
  Error uint64(uint64_t value) const { return bytes(kUint64, &value, sizeof value); }
  Error count(size_t value) const { return bytes(kSize, &value, sizeof value); }
  Error pointer(void* value) const { return bytes(kPointer, &value, sizeof value); }
};

}  // namespace gentl
