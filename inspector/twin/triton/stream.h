// The way of a picture: sensor → camera memory → wire → a buffer of the host.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "camera.h"
#include "module.h"

// A picture in the camera's memory.
struct Frame {
  uint64_t id = 0;
  int64_t exposed_ns = 0;  // CLOCK_MONOTONIC
  Settings settings;
  std::vector<uint8_t> payload;
};

// A buffer the host announced, and what was delivered into it.
struct HostBuffer {
  uint8_t* data = nullptr;
  size_t size = 0;
  void* user = nullptr;
  std::unique_ptr<uint8_t[]> owned;  // when allocated here
  bool queued = false;
  bool new_data = false;
  bool incomplete = false;
  bool too_small = false;
  bool chunks = false;
  uint64_t frame_id = 0;
  uint64_t timestamp_ns = 0;  // device clock
  size_t filled = 0;
  ImageFormat format;
};

class Stream : public Module {
 public:
  explicit Stream(Camera& camera);
  ~Stream() override;

  Camera& camera() { return camera_; }
  gentl::Error open();
  void close();
  gentl::Error start();
  void stop();
  gentl::Error info(int32_t command, const gentl::Answer& answer);

  // -- the camera's side
  void wake_sensor();
  void trigger_software(int64_t now_ns);
  bool exposing(int64_t now_ns) const;

  // -- the host's buffers
  gentl::Error announce(void* data, size_t size, void* user, void** handle);
  gentl::Error revoke(HostBuffer* buffer, void** data, void** user);
  gentl::Error queue(HostBuffer* buffer);
  gentl::Error flush(int32_t operation);
  gentl::Error buffer_at(uint32_t index, void** handle);
  gentl::Error buffer_info(HostBuffer* buffer, int32_t command, const gentl::Answer& answer);
  gentl::Error chunks(HostBuffer* buffer, gentl::ChunkData* out, size_t* count);

  // -- the new-buffer event
  gentl::Error register_event();
  gentl::Error unregister_event();
  gentl::Error wait_for_buffer(gentl::NewBufferData* out, uint64_t timeout_ms);
  gentl::Error event_info(int32_t command, const gentl::Answer& answer);
  void discard_events();
  void abort_wait();

 private:
  // Sensor thread: decides when to expose. Returns when there is something to do again.
  void sense();
  int64_t sense_once();
  int64_t follow_photo_eye(const Settings& settings, int64_t now_ns);
  int64_t run_free(const Settings& settings, int64_t now_ns);
  void expose(const Settings& settings, int64_t at_ns);
  std::vector<uint8_t> empty_memory(size_t bytes);
  void return_memory(std::vector<uint8_t> memory);

  // Wire thread: sends one frame after the other, at the speed of the link.
  void transmit();
  void deliver(Frame& frame);
  void lose_all_on_wire();

  bool announced(const HostBuffer* buffer) const;

  Camera& camera_;
  bool open_ = false;

  mutable std::mutex mutex_;  // guards everything below
  std::condition_variable sensor_wakes_;
  std::condition_variable wire_wakes_;
  std::condition_variable host_wakes_;
  std::condition_variable filled_;
  std::thread sensor_;
  std::thread wire_;
  bool running_ = false;
  bool sensor_called_ = false;

  std::deque<int64_t> software_triggers_;
  std::deque<Frame> memory_;
  std::vector<std::vector<uint8_t>> spare_memory_;
  size_t memory_bytes_ = 0;
  uint64_t next_frame_id_ = 1;
  uint64_t last_part_ = 0;
  int64_t next_free_run_ns_ = 0;
  int64_t exposure_begins_ns_ = 0;
  int64_t exposure_ends_ns_ = 0;

  std::vector<std::unique_ptr<HostBuffer>> buffers_;
  std::deque<HostBuffer*> input_;
  std::deque<HostBuffer*> output_;
  HostBuffer* filling_ = nullptr;
  bool event_registered_ = false;
  bool abort_requested_ = false;
  uint64_t delivered_ = 0;
  uint64_t started_ = 0;
  uint64_t underrun_ = 0;
  uint64_t fired_ = 0;
};
