#include "camera.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <utility>

#include "descriptions.h"
#include "stream.h"

using gentl::Error;
using gentl::fail;

namespace {

constexpr double kNominalExposureUs = 1000.0;
// What 1 GbE carries of image data at an MTU of 1500: 22.2 frames of 2880×1860×8 bit a second, so
// that such a frame takes 45 ms. The wire is the sensor's limit in every pixel format.
constexpr double kWireBytesPerSecond = 118.9e6;

bool runs(uint32_t pid) { return pid != 0 && (kill(static_cast<pid_t>(pid), 0) == 0 || errno == EPERM); }

}  // namespace

size_t Settings::payload_bytes() const {
  if (!chunks) return format.bytes();
  // GigE Vision: every chunk, the image first, is followed by its 32-bit id and length.
  const auto enabled = std::count(chunk_enabled.begin(), chunk_enabled.end(), true);
  return format.bytes() + 8 + static_cast<size_t>(enabled) * (8 + 8);
}

Camera::Camera(unsigned index, std::string rig_path)
    : Module("Device", kDeviceXml), index_(index), rig_path_(std::move(rig_path)) {
  stream_ = std::make_unique<Stream>(*this);
  look_for_rig();
}

Camera::~Camera() = default;

void Camera::look_for_rig() {
  if (open_) return;
  if (rig_ == nullptr || rig_->stale()) rig_ = RigView::open(rig_path_);
}

bool Camera::present() const {
  return rig_ != nullptr && load(rig_->fields().faults.unplugged) == 0;
}

std::string Camera::serial() const { return "TWIN-" + std::to_string(index_ + 1); }

Error Camera::info(int32_t command, const gentl::Answer& answer) const {
  switch (command) {
    case gentl::kDeviceId:
    case gentl::kDeviceSerial: return answer.text(serial());
    case gentl::kDeviceVendor: return answer.text(kVendor);
    case gentl::kDeviceModel: return answer.text(kModel);
    case gentl::kDeviceTlType: return answer.text(kTlType);
    case gentl::kDeviceDisplayName: return answer.text(std::string(kModel) + " " + serial());
    case gentl::kDeviceUserName: {
      if (rig_ == nullptr) return answer.text("");
      const auto& name = rig_->fields().header.device_user_id;
      return answer.text(std::string(name, strnlen(name, sizeof name)));
    }
    case gentl::kDeviceVersion: return answer.text(kVersion);
    case gentl::kDeviceTimestampFrequency: return answer.uint64(1'000'000'000);
    case gentl::kDeviceAccessStatus: {
      if (!present()) return answer.int32(gentl::kNoAccess);
      if (open_) return answer.int32(gentl::kOpenReadWrite);
      const uint32_t holder = load(rig_->fields().camera.producer_pid);
      const bool taken = runs(holder) && holder != static_cast<uint32_t>(getpid());
      return answer.int32(taken ? gentl::kStatusBusy : gentl::kReadWrite);
    }
    default: return fail(gentl::kNotAvailable, "no such device information");
  }
}

Error Camera::open() {
  if (open_) return fail(gentl::kResourceInUse, "the camera is open already");
  look_for_rig();
  if (!present()) return fail(gentl::kIo, "the camera does not answer");
  rig::Camera& outside = rig_->fields().camera;
  const uint32_t self = static_cast<uint32_t>(getpid());
  const uint32_t holder = load(outside.producer_pid);
  if (holder != self && runs(holder)) {
    return fail(gentl::kAccessDenied, "another process controls the camera");
  }
  power_cycles_ = load(rig_->fields().faults.power_cycles);
  lost_ = false;
  open_ = true;
  store(outside.producer_pid, self);
  store(outside.opens, load(outside.opens) + 1);
  opened_ns_ = monotonic_ns();
  // The camera's clock began at some time of its own: nobody may take it for the host's.
  std::random_device chance;
  clock_offset_ns_ = std::uniform_int_distribution<int64_t>(1'000'000'000'000,
                                                            1'000'000'000'000'000)(chance);
  acquire(false);
  power_up();
  return gentl::kSuccess;
}

void Camera::close() {
  if (!open_) return;
  stream_->close();
  acquire(false);
  store(rig_->fields().camera.producer_pid, uint32_t{0});
  open_ = false;
}

bool Camera::alive() {
  if (!open_) return false;
  const rig::Faults& faults = rig_->fields().faults;
  if (load(faults.unplugged) != 0 || load(faults.power_cycles) != power_cycles_) {
    if (!lost_.exchange(true)) acquire(false);
  }
  return !lost_;
}

Error Camera::reachable() {
  return alive() ? gentl::kSuccess : fail(gentl::kIo, "the camera does not answer");
}

void Camera::acquire(bool on) {
  armed_since_ns_ = monotonic_ns();
  acquiring_ = on;
  store(rig_->fields().camera.acquiring, uint32_t{on});
  stream_->wake_sensor();
}

// -- registers ------------------------------------------------------------------------------------

template <class T>
T Camera::get(uint64_t address) const {
  T value;
  std::memcpy(&value, registers_.data() + (address - reg::kFirst), sizeof value);
  return value;
}

template <class T>
void Camera::set(uint64_t address, T value) {
  std::memcpy(registers_.data() + (address - reg::kFirst), &value, sizeof value);
}

void Camera::power_up() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::memcpy(registers_.data(), kPowerUp, sizeof kPowerUp);
    timer_until_ns_ = 0;
    const std::string name = serial();
    std::memcpy(registers_.data() + (reg::DeviceSerialNumber - reg::kFirst), name.c_str(),
                name.size() + 1);
    const auto& user_id = rig_->fields().header.device_user_id;
    std::memcpy(registers_.data() + (reg::DeviceUserID - reg::kFirst), user_id, sizeof user_id);
  }
  show_to_plant();
}

Settings Camera::settings() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return read_settings();
}

Settings Camera::read_settings() const {
  Settings s;
  s.format.width = get<uint32_t>(reg::Width);
  s.format.height = get<uint32_t>(reg::Height);
  s.format.x = std::min<uint32_t>(get<uint32_t>(reg::OffsetX), rig::kWidth - s.format.width);
  s.format.y = std::min<uint32_t>(get<uint32_t>(reg::OffsetY), rig::kHeight - s.format.height);
  s.format.pixel_format = get<uint32_t>(reg::PixelFormat);
  const double exposure_us = get<double>(reg::ExposureTime);
  s.format.brightness =
      exposure_us / kNominalExposureUs * std::pow(10.0, get<double>(reg::Gain) / 20.0);
  s.exposure_ns = std::llround(exposure_us * 1e3);
  s.triggered = get<uint32_t>(reg::TriggerMode) == value::TriggerMode_On;
  s.trigger_source = get<uint32_t>(reg::TriggerSource);
  s.trigger_delay_ns = std::llround(get<double>(reg::TriggerDelay) * 1e3);
  s.trigger_offset_ns = s.trigger_delay_ns;
  if (get<uint32_t>(reg::TriggerActivation) == value::TriggerActivation_FallingEdge) {
    s.trigger_offset_ns += rig::kPhotoEyePulseNs;
  }
  s.single_frame = get<uint32_t>(reg::AcquisitionMode) == value::AcquisitionMode_SingleFrame;
  s.chunks = get<uint32_t>(reg::ChunkModeActive) != 0;
  for (unsigned kind = 0; kind < chunk::kKinds; ++kind) {
    s.chunk_enabled[kind] = get<uint32_t>(reg::ChunkEnable + 4 * kind) != 0;
  }
  const double limit = get<uint32_t>(reg::DeviceLinkThroughputLimit);
  s.wire_bytes_per_ns = std::min(kWireBytesPerSecond, limit) / 1e9;
  const double wire_ns = static_cast<double>(s.payload_bytes()) / s.wire_bytes_per_ns;
  double period_ns = std::max(wire_ns, exposure_us * 1e3);
  if (get<uint32_t>(reg::AcquisitionFrameRateEnable) != 0) {
    period_ns = std::max(period_ns, 1e9 / get<double>(reg::AcquisitionFrameRate));
  }
  s.frame_period_ns = std::llround(period_ns);
  return s;
}

uint32_t Camera::lines(int64_t now_ns) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return read_lines(now_ns);
}

uint32_t Camera::read_lines(int64_t now_ns) const {
  uint32_t levels = 0;
  for (unsigned line = 0; line < kLines; ++line) {
    bool high = false;
    if (get<uint32_t>(reg::LineMode + 4 * line) == value::LineMode_Output) {
      const uint32_t source = get<uint32_t>(reg::LineSource + 4 * line);
      if (source == value::LineSource_ExposureActive) {
        high = stream_->exposing(now_ns);
      } else if (source == value::LineSource_Timer0Active) {
        high = now_ns < timer_until_ns_;
      } else if (source != value::LineSource_Off) {
        const uint32_t output = source - value::LineSource_UserOutput0;
        high = get<uint32_t>(reg::UserOutputValue + 4 * output) != 0;
      }
    } else if (line == 0) {
      high = rig_->photo_eye_broken(now_ns);
    }
    levels |= uint32_t{high} << line;
  }
  return levels;
}

// Brings the registers up to date that no host writes.
void Camera::refresh_measured() {
  const int64_t now = monotonic_ns();
  const Settings s = read_settings();
  set<uint64_t>(reg::PayloadSize, s.payload_bytes());
  set<uint32_t>(reg::WidthMax, rig::kWidth - s.format.x);
  set<uint32_t>(reg::HeightMax, rig::kHeight - s.format.y);
  set<uint32_t>(reg::OffsetXMax, rig::kWidth - s.format.width);
  set<uint32_t>(reg::OffsetYMax, rig::kHeight - s.format.height);
  const double wire_ns = static_cast<double>(s.payload_bytes()) / s.wire_bytes_per_ns;
  set<double>(reg::AcquisitionFrameRateMax,
              1e9 / std::max(wire_ns, static_cast<double>(s.exposure_ns)));
  set<double>(reg::ResultingFrameRate, 1e9 / static_cast<double>(s.frame_period_ns));
  set<uint64_t>(reg::Timestamp, static_cast<uint64_t>(to_device_clock(now)));
  // Warms up by 14 K with a time constant of 8 minutes, and breathes a little.
  const double minutes = static_cast<double>(now - opened_ns_) / 60e9;
  set<double>(reg::DeviceTemperature,
              38.0 + 14.0 * (1.0 - std::exp(-minutes / 8.0)) + 0.3 * std::sin(minutes * 2.1));
  const uint32_t levels = read_lines(now);
  set<uint32_t>(reg::LineStatusAll, levels);
  for (unsigned line = 0; line < kLines; ++line) {
    set<uint32_t>(reg::LineStatus + 4 * line, levels >> line & 1);
  }
}

// What the plant sees of the camera's settings: its output lines above all.
void Camera::show_to_plant() {
  const std::lock_guard<std::mutex> lock(mutex_);
  rig::Camera& outside = rig_->fields().camera;
  uint32_t outputs = 0;
  for (unsigned output = 0; output < kUserOutputs; ++output) {
    outputs |= uint32_t{get<uint32_t>(reg::UserOutputValue + 4 * output) != 0} << output;
  }
  uint32_t driven = 0;
  uint32_t timed = 0;
  for (unsigned line = 0; line < kLines; ++line) {
    if (get<uint32_t>(reg::LineMode + 4 * line) != value::LineMode_Output) continue;
    const uint32_t source = get<uint32_t>(reg::LineSource + 4 * line);
    (source == value::LineSource_Timer0Active ? timed : driven) |= 1u << line;
  }
  store(outside.user_outputs, outputs);
  store(outside.output_lines, read_lines(monotonic_ns()) & driven);
  // Told by its end, since nobody looks here when the timer stops: not even a host that was killed.
  store(outside.timer_until_ns, timer_until_ns_);
  store(outside.timer_lines, timed);
  store(outside.trigger_mode, get<uint32_t>(reg::TriggerMode));
  store(outside.exposure_us, get<double>(reg::ExposureTime));
  store(outside.gain_db, get<double>(reg::Gain));
}

Error Camera::read_register(uint64_t address, uint8_t* out, size_t size) {
  if (address < reg::kFirst || address - reg::kFirst + size > registers_.size()) {
    return fail(gentl::kInvalidAddress, "the camera has no register there");
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  refresh_measured();
  std::memcpy(out, registers_.data() + (address - reg::kFirst), size);
  return gentl::kSuccess;
}

Error Camera::write_register(uint64_t address, const uint8_t* data, size_t size) {
  if (address < reg::kFirst || address - reg::kFirst + size > registers_.size()) {
    return fail(gentl::kInvalidAddress, "the camera has no register there");
  }
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::memcpy(registers_.data() + (address - reg::kFirst), data, size);
  }
  switch (address) {
    case reg::AcquisitionStart: acquire(true); break;
    case reg::AcquisitionStop: acquire(false); break;
    case reg::TriggerSoftware: stream_->trigger_software(monotonic_ns()); break;
    case reg::TriggerMode:
    case reg::TriggerSource:
    case reg::TriggerActivation: armed_since_ns_ = monotonic_ns(); break;
    case reg::SoftwareSignalPulse: {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (get<uint32_t>(reg::TimerTriggerSource) == value::TimerTriggerSource_SoftwareSignal0) {
        timer_until_ns_ = monotonic_ns() + std::llround(get<double>(reg::TimerDuration) * 1e3);
      }
      break;
    }
    case reg::TimestampLatch: {
      const std::lock_guard<std::mutex> lock(mutex_);
      set<uint64_t>(reg::TimestampLatchValue,
                    static_cast<uint64_t>(to_device_clock(monotonic_ns())));
      break;
    }
    case reg::DeviceUserID: {
      auto& name = rig_->fields().header.device_user_id;
      const std::lock_guard<std::mutex> lock(mutex_);
      std::memcpy(name, registers_.data() + (reg::DeviceUserID - reg::kFirst), sizeof name);
      break;
    }
    default: break;
  }
  show_to_plant();
  return gentl::kSuccess;
}
