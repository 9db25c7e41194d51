// The host's side of the stream: its buffers, its queues, its event.
#include "stream.h"

#include <algorithm>
#include <chrono>

#include "descriptions.h"

using gentl::Error;
using gentl::fail;

Stream::Stream(Camera& camera) : Module("TLDataStream", kStreamXml), camera_(camera) {}

Stream::~Stream() { close(); }

Error Stream::open() {
  if (open_) return fail(gentl::kResourceInUse, "the stream is open already");
  open_ = true;
  return gentl::kSuccess;
}

void Stream::close() {
  if (!open_) return;
  stop();
  const std::lock_guard<std::mutex> lock(mutex_);
  input_.clear();
  output_.clear();
  buffers_.clear();
  spare_memory_.clear();
  event_registered_ = false;
  open_ = false;
}

Error Stream::info(int32_t command, const gentl::Answer& answer) {
  if (command == gentl::kPayloadSize) return answer.count(camera_.settings().payload_bytes());
  const std::lock_guard<std::mutex> lock(mutex_);
  switch (command) {
    case gentl::kStreamId: return answer.text("Stream0");
    case gentl::kNumDelivered: return answer.uint64(delivered_);
    case gentl::kNumUnderrun: return answer.uint64(underrun_);
    case gentl::kNumAnnounced: return answer.count(buffers_.size());
    case gentl::kNumQueued: return answer.count(input_.size());
    case gentl::kNumAwaitDelivery: return answer.count(output_.size());
    case gentl::kNumStarted: return answer.uint64(started_);
    case gentl::kIsGrabbing: return answer.boolean(running_);
    case gentl::kDefinesPayloadSize: return answer.boolean(false);
    case gentl::kStreamTlType: return answer.text(kTlType);
    case gentl::kNumChunksMax: return answer.count(chunk::kKinds + 1);
    case gentl::kBufAnnounceMin:
    case gentl::kBufAlignment: return answer.count(1);
    default: return fail(gentl::kNotAvailable, "no such stream information");
  }
}

// -- buffers --------------------------------------------------------------------------------------

bool Stream::announced(const HostBuffer* buffer) const {
  return std::any_of(buffers_.begin(), buffers_.end(),
                     [&](const auto& known) { return known.get() == buffer; });
}

Error Stream::announce(void* data, size_t size, void* user, void** handle) {
  if (handle == nullptr || size == 0) return fail(gentl::kInvalidParameter, "an empty buffer");
  auto buffer = std::make_unique<HostBuffer>();
  if (data == nullptr) {
    buffer->owned = std::make_unique<uint8_t[]>(size);
    data = buffer->owned.get();
  }
  buffer->data = static_cast<uint8_t*>(data);
  buffer->size = size;
  buffer->user = user;
  *handle = buffer.get();
  const std::lock_guard<std::mutex> lock(mutex_);
  buffers_.push_back(std::move(buffer));
  return gentl::kSuccess;
}

Error Stream::revoke(HostBuffer* buffer, void** data, void** user) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (!announced(buffer)) return fail(gentl::kInvalidHandle, "no such buffer");
  filled_.wait(lock, [&] { return filling_ != buffer; });
  input_.erase(std::remove(input_.begin(), input_.end(), buffer), input_.end());
  output_.erase(std::remove(output_.begin(), output_.end(), buffer), output_.end());
  if (data != nullptr) *data = buffer->owned ? nullptr : buffer->data;
  if (user != nullptr) *user = buffer->user;
  buffers_.erase(std::find_if(buffers_.begin(), buffers_.end(),
                              [&](const auto& known) { return known.get() == buffer; }));
  return gentl::kSuccess;
}

Error Stream::queue(HostBuffer* buffer) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!announced(buffer)) return fail(gentl::kInvalidHandle, "no such buffer");
  if (buffer->queued) return fail(gentl::kResourceInUse, "the buffer is queued already");
  buffer->queued = true;
  buffer->new_data = false;
  input_.push_back(buffer);
  return gentl::kSuccess;
}

Error Stream::flush(int32_t operation) {
  std::unique_lock<std::mutex> lock(mutex_);
  filled_.wait(lock, [&] { return filling_ == nullptr; });
  const auto waits_for_host = [&](const HostBuffer* buffer) {
    return std::find(output_.begin(), output_.end(), buffer) != output_.end();
  };
  switch (operation) {
    case gentl::kInputToOutput:
      for (HostBuffer* buffer : input_) {
        buffer->queued = false;
        output_.push_back(buffer);
      }
      input_.clear();
      host_wakes_.notify_all();
      return gentl::kSuccess;
    case gentl::kOutputDiscard:
      output_.clear();
      return gentl::kSuccess;
    case gentl::kAllToInput:
      output_.clear();
      [[fallthrough]];
    case gentl::kUnqueuedToInput:
      for (const auto& buffer : buffers_) {
        if (buffer->queued || waits_for_host(buffer.get())) continue;
        buffer->queued = true;
        buffer->new_data = false;
        input_.push_back(buffer.get());
      }
      return gentl::kSuccess;
    case gentl::kAllDiscard:
      for (const auto& buffer : buffers_) buffer->queued = false;
      input_.clear();
      output_.clear();
      return gentl::kSuccess;
    default: return fail(gentl::kInvalidParameter, "no such queue operation");
  }
}

Error Stream::buffer_at(uint32_t index, void** handle) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (index >= buffers_.size()) return fail(gentl::kInvalidIndex, "no such buffer");
  *handle = buffers_[index].get();
  return gentl::kSuccess;
}

Error Stream::buffer_info(HostBuffer* buffer, int32_t command, const gentl::Answer& answer) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!announced(buffer)) return fail(gentl::kInvalidHandle, "no such buffer");
  const HostBuffer& b = *buffer;
  switch (command) {
    case gentl::kBufferBase: return answer.pointer(b.data);
    case gentl::kBufferSize: return answer.count(b.size);
    case gentl::kUserPtr: return answer.pointer(b.user);
    case gentl::kTimestamp:
    case gentl::kTimestampNs: return answer.uint64(b.timestamp_ns);
    case gentl::kNewData: return answer.boolean(b.new_data);
    case gentl::kIsQueued: return answer.boolean(b.queued);
    case gentl::kIsAcquiring: return answer.boolean(&b == filling_);
    case gentl::kIsIncomplete: return answer.boolean(b.incomplete);
    case gentl::kBufferTlType: return answer.text(kTlType);
    case gentl::kSizeFilled:
    case gentl::kDataSize:
    case gentl::kDeliveredChunkPayloadSize: return answer.count(b.filled);
    case gentl::kWidth: return answer.count(b.format.width);
    case gentl::kHeight:
    case gentl::kDeliveredImageHeight: return answer.count(b.format.height);
    case gentl::kXOffset: return answer.count(b.format.x);
    case gentl::kYOffset: return answer.count(b.format.y);
    case gentl::kXPadding:
    case gentl::kYPadding:
    case gentl::kImageOffset: return answer.count(0);
    case gentl::kFrameId: return answer.uint64(b.frame_id);
    case gentl::kImagePresent: return answer.boolean(b.new_data);
    case gentl::kPayloadType: return answer.count(gentl::kPayloadTypeImage);
    case gentl::kPixelFormat: return answer.uint64(b.format.pixel_format);
    case gentl::kPixelFormatNamespace: return answer.uint64(gentl::kPixelFormatPfnc32);
    case gentl::kChunkLayoutId: return answer.uint64(b.chunks ? 1 : 0);
    case gentl::kPixelEndianness: return answer.int32(gentl::kLittleEndian);
    case gentl::kDataLargerThanBuffer: return answer.boolean(b.too_small);
    case gentl::kContainsChunkData: return answer.boolean(b.chunks && !b.incomplete);
    case gentl::kIsComposite: return answer.boolean(false);
    default: return fail(gentl::kNotAvailable, "no such buffer information");
  }
}

Error Stream::chunks(HostBuffer* buffer, gentl::ChunkData* out, size_t* count) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!announced(buffer)) return fail(gentl::kInvalidHandle, "no such buffer");
  if (count == nullptr) return fail(gentl::kInvalidParameter, "no place for the number of chunks");
  // From the back: data, then its id and length in network order.
  const auto word = [&](size_t at) {
    uint32_t value;
    std::memcpy(&value, buffer->data + at, sizeof value);
    return __builtin_bswap32(value);
  };
  std::vector<gentl::ChunkData> found;
  size_t end = buffer->chunks && !buffer->incomplete ? buffer->filled : 0;
  while (end >= 8) {
    const size_t length = word(end - 4);
    found.push_back({word(end - 8), static_cast<ptrdiff_t>(end - 8 - length), length});
    end -= 8 + length;
  }
  std::reverse(found.begin(), found.end());
  if (out != nullptr) {
    if (*count < found.size()) return fail(gentl::kBufferTooSmall, "more chunks than places");
    std::copy(found.begin(), found.end(), out);
  }
  *count = found.size();
  return gentl::kSuccess;
}

// -- the new-buffer event -------------------------------------------------------------------------

Error Stream::register_event() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (event_registered_) return fail(gentl::kResourceInUse, "the event is registered already");
  event_registered_ = true;
  abort_requested_ = false;
  return gentl::kSuccess;
}

Error Stream::unregister_event() {
  const std::lock_guard<std::mutex> lock(mutex_);
  event_registered_ = false;
  return gentl::kSuccess;
}

Error Stream::wait_for_buffer(gentl::NewBufferData* out, uint64_t timeout_ms) {
  std::unique_lock<std::mutex> lock(mutex_);
  const auto ready = [&] { return abort_requested_ || !output_.empty(); };
  // An hour at a time: the clock's arithmetic would overflow on the standard's "for ever".
  const auto wait = std::chrono::milliseconds(std::min<uint64_t>(timeout_ms, 3'600'000));
  while (!host_wakes_.wait_for(lock, wait, ready)) {
    if (timeout_ms != gentl::kInfinite) return fail(gentl::kTimeout, "no buffer yet");
  }
  if (abort_requested_) {
    abort_requested_ = false;
    return fail(gentl::kAbort, "the wait was ended");
  }
  HostBuffer* buffer = output_.front();
  output_.pop_front();
  *out = {buffer, buffer->user};
  return gentl::kSuccess;
}

Error Stream::event_info(int32_t command, const gentl::Answer& answer) {
  const std::lock_guard<std::mutex> lock(mutex_);
  switch (command) {
    case gentl::kEventType: return answer.int32(gentl::kEventNewBuffer);
    case gentl::kEventNumInQueue: return answer.count(output_.size());
    case gentl::kEventNumFired: return answer.uint64(fired_);
    case gentl::kEventSizeMax:
    case gentl::kEventDataSizeMax: return answer.count(sizeof(gentl::NewBufferData));
    default: return fail(gentl::kNotAvailable, "no such event information");
  }
}

void Stream::discard_events() {
  const std::lock_guard<std::mutex> lock(mutex_);
  output_.clear();
}

void Stream::abort_wait() {
  const std::lock_guard<std::mutex> lock(mutex_);
  abort_requested_ = true;
  host_wakes_.notify_all();
}
