// One camera: its registers, its lines, and whether it can be reached at all.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "module.h"
#include "registers.h"
#include "rig_view.h"
#include "scene.h"

class Stream;

// What the sensor works by, read from the registers at one moment.
struct Settings {
  ImageFormat format;
  bool triggered = false;  // TriggerMode = On
  uint32_t trigger_source = 0;
  int64_t trigger_offset_ns = 0;  // from the photo-eye's rising edge to the exposure
  int64_t trigger_delay_ns = 0;   // TriggerDelay alone, as a software trigger needs it
  bool single_frame = false;
  int64_t exposure_ns = 0;
  int64_t frame_period_ns = 0;
  double wire_bytes_per_ns = 0;
  bool chunks = false;  // ChunkModeActive
  std::array<bool, chunk::kKinds> chunk_enabled{};

  // Image, and the chunks behind it.
  size_t payload_bytes() const;
};

class Camera : public Module {
 public:
  // `index` 0 is TWIN-1.
  Camera(unsigned index, std::string rig_path);
  ~Camera() override;

  // Looks for the rig again, unless the camera is open.
  void look_for_rig();
  // True when a host would find the camera on the network.
  bool present() const;
  std::string serial() const;
  gentl::Error info(int32_t command, const gentl::Answer& answer) const;

  gentl::Error open();
  void close();
  bool is_open() const { return open_; }
  // False from the moment the cable was out, until the camera is closed and opened again.
  bool alive();

  Settings settings();
  int64_t to_device_clock(int64_t monotonic) const { return monotonic + clock_offset_ns_; }
  // Levels of all lines, bit n for line n.
  uint32_t lines(int64_t now_ns);
  // Begins or ends acquisition (AcquisitionStart, AcquisitionStop, the end of a single frame).
  void acquire(bool on);
  bool acquiring() const { return acquiring_; }
  // Parts that broke the beam before this were not waited for. On CLOCK_MONOTONIC.
  int64_t armed_since_ns() const { return armed_since_ns_; }

  RigView& rig() { return *rig_; }
  Stream& stream() { return *stream_; }

 protected:
  gentl::Error reachable() override;
  gentl::Error read_register(uint64_t address, uint8_t* out, size_t size) override;
  gentl::Error write_register(uint64_t address, const uint8_t* data, size_t size) override;

 private:
  template <class T>
  T get(uint64_t address) const;
  template <class T>
  void set(uint64_t address, T value);
  Settings read_settings() const;
  uint32_t read_lines(int64_t now_ns) const;
  void power_up();
  void refresh_measured();
  void show_to_plant();

  const unsigned index_;
  const std::string rig_path_;
  std::unique_ptr<RigView> rig_;
  std::unique_ptr<Stream> stream_;
  std::mutex mutex_;  // guards the registers
  std::array<uint8_t, reg::kBytes> registers_{};
  bool open_ = false;
  std::atomic<bool> lost_{false};
  std::atomic<bool> acquiring_{false};
  std::atomic<int64_t> armed_since_ns_{0};
  uint32_t power_cycles_ = 0;
  int64_t clock_offset_ns_ = 0;
  int64_t opened_ns_ = 0;
  int64_t timer_until_ns_ = 0;  // Timer0 runs until then
};
