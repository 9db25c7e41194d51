// The rig file as the camera sees it. The layout comes from inspector/twin/rig_layout.py.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "rig_layout.h"

// Time now on CLOCK_MONOTONIC, the clock of the whole plant, in ns.
int64_t monotonic_ns();

// Fields of the rig are shared between processes: read and write them through these two only.
template <class T>
T load(const T& field) {
  T value;
  __atomic_load(&field, &value, __ATOMIC_ACQUIRE);
  return value;
}
template <class T>
void store(T& field, T value) {
  __atomic_store(&field, &value, __ATOMIC_RELEASE);
}
// Takes one from a counter of faults to come; false when there is none left.
bool take_one(uint32_t& counter);

class RigView {
 public:
  // Maps the rig at `path`; null when there is none, or one of another layout.
  static std::unique_ptr<RigView> open(const std::string& path);
  ~RigView();
  RigView(const RigView&) = delete;
  RigView& operator=(const RigView&) = delete;

  // True when another rig has taken the place of the mapped one, or it was removed.
  bool stale() const;

  rig::Rig& fields() { return *fields_; }
  const rig::Rig& fields() const { return *fields_; }
  const uint8_t* image(uint32_t slot) const;
  const uint8_t* background() const { return image(rig::kImages); }

  // The parts on the belt, ordered by number; records being written at this moment are left out.
  std::vector<rig::Part> belt() const;
  // False once the conveyor has taken the part's image slot for another picture.
  bool has_picture(const rig::Part& part) const;
  bool photo_eye_broken(int64_t now_ns) const;
  // Appends to the frame log; `entry.sequence` is filled in.
  void log(rig::Frame entry);

 private:
  RigView(std::string path, void* base, dev_t device, ino_t inode);

  std::string path_;
  uint8_t* base_;
  rig::Rig* fields_;
  dev_t device_;
  ino_t inode_;
};
