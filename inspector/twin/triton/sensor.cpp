// The camera's side of the stream: when the sensor exposes, and how its pictures get to the host.
#include <algorithm>
#include <chrono>
#include <utility>

#include "stream.h"

using gentl::Error;
using gentl::fail;

namespace {

// How often the rig's faults and the belt are looked at when nothing else calls.
constexpr int64_t kPollNs = 5'000'000;
// The camera's own picture memory. When it is full, further pictures are lost.
constexpr size_t kMemoryBytes = size_t{128} << 20;
// A host too busy to let the sensor run for so long is not caught up with, in free run.
constexpr int64_t kTooLateNs = 1'000'000'000;

std::chrono::steady_clock::time_point moment(int64_t monotonic) {
  return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(monotonic));
}

void count(uint64_t& counter, uint64_t by = 1) { store(counter, load(counter) + by); }

// Appends a chunk's id and length, in network order, behind its data.
uint8_t* end_chunk(uint8_t* at, uint32_t id, uint32_t length) {
  const uint32_t trailer[2] = {__builtin_bswap32(id), __builtin_bswap32(length)};
  std::memcpy(at, trailer, sizeof trailer);
  return at + sizeof trailer;
}

}  // namespace

// -- starting and stopping ------------------------------------------------------------------------

Error Stream::start() {
  if (running_) return fail(gentl::kResourceInUse, "the stream is running already");
  if (!camera_.alive()) return fail(gentl::kIo, "the camera does not answer");
  rig::Rig& plant = camera_.rig().fields();
  const uint32_t first = load(plant.faults.start_frame_id);
  next_frame_id_ = first > 0 ? first : 1;
  last_part_ = 0;
  next_free_run_ns_ = 0;
  delivered_ = started_ = underrun_ = 0;
  store(plant.camera.streams, load(plant.camera.streams) + 1);
  running_ = true;
  sensor_ = std::thread(&Stream::sense, this);
  wire_ = std::thread(&Stream::transmit, this);
  return gentl::kSuccess;
}

void Stream::stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!running_) return;
    running_ = false;
    sensor_wakes_.notify_all();
    wire_wakes_.notify_all();
  }
  sensor_.join();
  wire_.join();
  lose_all_on_wire();
}

void Stream::wake_sensor() {
  const std::lock_guard<std::mutex> lock(mutex_);
  sensor_called_ = true;
  sensor_wakes_.notify_all();
}

void Stream::trigger_software(int64_t now_ns) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    software_triggers_.push_back(now_ns);
  }
  wake_sensor();
}

bool Stream::exposing(int64_t now_ns) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return exposure_begins_ns_ <= now_ns && now_ns < exposure_ends_ns_;
}

// -- the sensor -----------------------------------------------------------------------------------

void Stream::sense() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (running_) {
    sensor_called_ = false;
    lock.unlock();
    const int64_t next = sense_once();
    lock.lock();
    sensor_wakes_.wait_until(lock, moment(std::min(next, monotonic_ns() + kPollNs)),
                             [&] { return sensor_called_ || !running_; });
  }
}

int64_t Stream::sense_once() {
  const int64_t now = monotonic_ns();
  std::deque<int64_t> pressed;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    pressed.swap(software_triggers_);
  }
  if (!camera_.alive() || !camera_.acquiring()) {
    next_free_run_ns_ = 0;
    return now + kPollNs;
  }
  const Settings settings = camera_.settings();
  if (!settings.triggered) return run_free(settings, now);
  next_free_run_ns_ = 0;
  if (settings.trigger_source == value::TriggerSource_Line0) {
    return follow_photo_eye(settings, now);
  }
  if (settings.trigger_source == value::TriggerSource_Software) {
    for (const int64_t at : pressed) expose(settings, at + settings.trigger_delay_ns);
  }
  return now + kPollNs;
}

int64_t Stream::follow_photo_eye(const Settings& settings, int64_t now_ns) {
  for (const rig::Part& part : camera_.rig().belt()) {
    if (part.number <= last_part_) continue;
    const int64_t at = part.eye_ns + settings.trigger_offset_ns;
    if (at > now_ns) return at;
    last_part_ = part.number;
    // A part that passed before anyone waited for it is nobody's.
    if (part.eye_ns >= camera_.armed_since_ns()) expose(settings, at);
  }
  return now_ns + kPollNs;
}

int64_t Stream::run_free(const Settings& settings, int64_t now_ns) {
  if (next_free_run_ns_ == 0 || now_ns - next_free_run_ns_ > kTooLateNs) next_free_run_ns_ = now_ns;
  if (next_free_run_ns_ <= now_ns) {
    expose(settings, next_free_run_ns_);
    next_free_run_ns_ += settings.frame_period_ns;
  }
  return next_free_run_ns_;
}

void Stream::expose(const Settings& settings, int64_t at_ns) {
  RigView& rig = camera_.rig();
  if (load(rig.fields().faults.frozen) != 0 || !camera_.acquiring()) return;
  Frame frame;
  frame.exposed_ns = at_ns;
  frame.settings = settings;
  frame.id = next_frame_id_++;
  if (load(rig.fields().faults.wrap16) != 0 && next_frame_id_ > 65535) next_frame_id_ = 1;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    exposure_begins_ns_ = at_ns;
    exposure_ends_ns_ = at_ns + settings.exposure_ns;
  }
  const Scene scene(rig, at_ns);
  const auto timestamp = static_cast<uint64_t>(camera_.to_device_clock(at_ns));
  rig::Frame entry{};
  entry.frame_id = frame.id;
  entry.timestamp_ns = timestamp;
  entry.exposed_ns = at_ns;
  entry.part = scene.nearest_part();
  entry.offset_px = scene.nearest_offset();
  entry.stream = load(rig.fields().camera.streams);
  rig.log(entry);
  if (settings.single_frame) camera_.acquire(false);

  frame.payload = empty_memory(settings.payload_bytes());
  if (frame.payload.empty()) {
    count(rig.fields().camera.frames_lost);
    return;
  }
  uint8_t* image = frame.payload.data();
  if (!scene.draw(settings.format, image)) {
    count(rig.fields().camera.frames_lost);
    return_memory(std::move(frame.payload));
    return;
  }
  if (settings.chunks) {
    const auto bytes = static_cast<uint32_t>(settings.format.bytes());
    uint8_t* at = end_chunk(image + bytes, chunk::Image, bytes);
    const double exposure_us = static_cast<double>(settings.exposure_ns) / 1e3;
    const uint64_t lines = camera_.lines(at_ns);
    const std::pair<uint32_t, const void*> contents[chunk::kKinds] = {
        {chunk::FrameID, &frame.id},
        {chunk::Timestamp, &timestamp},
        {chunk::ExposureTime, &exposure_us},
        {chunk::LineStatusAll, &lines},
    };
    for (unsigned kind = 0; kind < chunk::kKinds; ++kind) {
      if (!settings.chunk_enabled[kind]) continue;
      std::memcpy(at, contents[kind].second, 8);
      at = end_chunk(at + 8, contents[kind].first, 8);
    }
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  memory_.push_back(std::move(frame));
  wire_wakes_.notify_all();
}

// Camera memory for one picture, empty when there is no more. Used memory comes back from the wire.
std::vector<uint8_t> Stream::empty_memory(size_t bytes) {
  std::vector<uint8_t> memory;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (memory_bytes_ + bytes > kMemoryBytes) return {};
    memory_bytes_ += bytes;
    if (!spare_memory_.empty()) {
      memory = std::move(spare_memory_.back());
      spare_memory_.pop_back();
    }
  }
  memory.resize(bytes);
  return memory;
}

void Stream::return_memory(std::vector<uint8_t> memory) {
  const std::lock_guard<std::mutex> lock(mutex_);
  memory_bytes_ -= memory.size();
  spare_memory_.push_back(std::move(memory));
}

// -- the wire -------------------------------------------------------------------------------------

void Stream::transmit() {
  int64_t wire_free_ns = 0;
  std::unique_lock<std::mutex> lock(mutex_);
  while (running_) {
    if (memory_.empty()) {
      wire_wakes_.wait(lock, [&] { return !running_ || !memory_.empty(); });
      continue;
    }
    Frame& frame = memory_.front();
    const Settings& settings = frame.settings;
    const double wire_ns =
        static_cast<double>(frame.payload.size()) / settings.wire_bytes_per_ns +
        1e3 * load(camera_.rig().fields().faults.slow_us);
    const int64_t begin = std::max(wire_free_ns, frame.exposed_ns + settings.exposure_ns);
    wire_free_ns = begin + static_cast<int64_t>(wire_ns);
    wire_wakes_.wait_until(lock, moment(wire_free_ns), [&] { return !running_; });
    if (!running_) break;
    lock.unlock();
    // Only this thread takes from the front, so the frame stays where it is.
    const bool plugged = camera_.alive();
    if (plugged) {
      deliver(frame);
    } else {
      lose_all_on_wire();
    }
    if (plugged) return_memory(std::move(frame.payload));
    lock.lock();
    if (plugged) memory_.pop_front();
  }
}

void Stream::lose_all_on_wire() {
  const std::lock_guard<std::mutex> lock(mutex_);
  count(camera_.rig().fields().camera.frames_lost, memory_.size());
  memory_.clear();
  memory_bytes_ = 0;
}

void Stream::deliver(Frame& frame) {
  rig::Rig& plant = camera_.rig().fields();
  if (take_one(plant.faults.drop_next)) {
    count(plant.camera.frames_dropped);
    return;
  }
  HostBuffer* buffer = nullptr;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (input_.empty()) {
      ++underrun_;
      count(plant.camera.frames_underrun);
      return;
    }
    buffer = input_.front();
    input_.pop_front();
    filling_ = buffer;
    ++started_;
  }
  buffer->too_small = buffer->size < frame.payload.size();
  buffer->incomplete = take_one(plant.faults.incomplete_next) || buffer->too_small;
  buffer->filled = std::min(buffer->size, frame.payload.size());
  const size_t arrived = buffer->incomplete ? buffer->filled / 2 : buffer->filled;
  std::memcpy(buffer->data, frame.payload.data(), arrived);
  std::memset(buffer->data + arrived, 0, buffer->filled - arrived);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    buffer->queued = false;
    buffer->new_data = true;
    buffer->chunks = frame.settings.chunks;
    buffer->frame_id = frame.id;
    buffer->timestamp_ns = static_cast<uint64_t>(camera_.to_device_clock(frame.exposed_ns));
    buffer->format = frame.settings.format;
    output_.push_back(buffer);
    filling_ = nullptr;
    ++delivered_;
    ++fired_;
    count(buffer->incomplete ? plant.camera.frames_incomplete : plant.camera.frames_delivered);
  }
  host_wakes_.notify_one();
  filled_.notify_all();
}
