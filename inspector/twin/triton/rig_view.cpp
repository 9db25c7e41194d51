#include "rig_view.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

int64_t monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

bool take_one(uint32_t& counter) {
  uint32_t left = load(counter);
  while (left > 0) {
    if (__atomic_compare_exchange_n(&counter, &left, left - 1, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE)) {
      return true;
    }
  }
  return false;
}

std::unique_ptr<RigView> RigView::open(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (file < 0) return nullptr;
  struct stat status {};
  void* base = MAP_FAILED;
  if (fstat(file, &status) == 0 && status.st_size == rig::kBytes) {
    base = mmap(nullptr, rig::kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  }
  ::close(file);
  if (base == MAP_FAILED) return nullptr;
  std::unique_ptr<RigView> view(new RigView(path, base, status.st_dev, status.st_ino));
  if (load(view->fields_->header.layout_hash) != rig::kLayoutHash) return nullptr;
  return view;
}

RigView::RigView(std::string path, void* base, dev_t device, ino_t inode)
    : path_(std::move(path)),
      base_(static_cast<uint8_t*>(base)),
      fields_(static_cast<rig::Rig*>(base)),
      device_(device),
      inode_(inode) {}

RigView::~RigView() { munmap(base_, rig::kBytes); }

bool RigView::stale() const {
  struct stat status {};
  return stat(path_.c_str(), &status) != 0 || status.st_dev != device_ || status.st_ino != inode_;
}

const uint8_t* RigView::image(uint32_t slot) const {
  return base_ + rig::kImagesOffset + slot * rig::kImageBytes;
}

bool RigView::has_picture(const rig::Part& part) const {
  return load(fields_->header.slot_uses[part.image_slot]) == part.slot_use;
}

std::vector<rig::Part> RigView::belt() const {
  std::vector<rig::Part> parts;
  for (const rig::Part& record : fields_->belt) {
    rig::Part part{};
    part.number = load(record.number);
    part.eye_ns = load(record.eye_ns);
    part.image_slot = load(record.image_slot);
    part.slot_use = load(record.slot_use);
    const bool untouched = load(record.number) == part.number;
    if (part.number > 0 && untouched && part.image_slot < rig::kImages) parts.push_back(part);
  }
  std::sort(parts.begin(), parts.end(),
            [](const rig::Part& a, const rig::Part& b) { return a.number < b.number; });
  return parts;
}

bool RigView::photo_eye_broken(int64_t now_ns) const {
  for (const rig::Part& part : belt()) {
    if (part.eye_ns <= now_ns && now_ns < part.eye_ns + rig::kPhotoEyePulseNs) return true;
  }
  return false;
}

void RigView::log(rig::Frame entry) {
  rig::Camera& camera = fields_->camera;
  entry.sequence = load(camera.frames_exposed) + 1;
  rig::Frame& record = fields_->frame_log[entry.sequence % rig::kFramesLogged];
  store(record.sequence, uint64_t{0});
  store(record.frame_id, entry.frame_id);
  store(record.timestamp_ns, entry.timestamp_ns);
  store(record.exposed_ns, entry.exposed_ns);
  store(record.part, entry.part);
  store(record.offset_px, entry.offset_px);
  store(record.stream, entry.stream);
  store(record.sequence, entry.sequence);
  store(camera.frames_exposed, entry.sequence);
}
