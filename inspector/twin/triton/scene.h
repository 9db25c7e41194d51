// What is under the lens at a moment, and how the sensor turns it into pixels.
#pragma once

#include <cstdint>
#include <vector>

#include "rig_view.h"

// The picture the camera is set to: region of interest in px, PFNC pixel format, brightness.
struct ImageFormat {
  uint32_t x = 0;
  uint32_t y = 0;
  uint32_t width = 0;
  uint32_t height = 0;
  uint32_t pixel_format = 0;
  double brightness = 1.0;  // 1: as drawn in the rig, at 1000 µs and 0 dB

  size_t bytes() const { return size_t{width} * height * ((pixel_format >> 16 & 0xff) / 8); }
};

// The picture at one moment: which cup each column belongs to.
class Scene {
 public:
  Scene(const RigView& rig, int64_t at_ns);

  // The part whose cup is nearest to the centre of the picture, 0 when none is in view.
  uint64_t nearest_part() const { return nearest_part_; }
  int32_t nearest_offset() const { return nearest_offset_; }

  // Draws into `out`, which holds `format.bytes()`. False when it came too late: the picture of a
  // cup in view has been replaced meanwhile.
  bool draw(const ImageFormat& format, uint8_t* out) const;

 private:
  // Columns [begin, end) show `image`, moved right by `shift` px.
  struct Span {
    int32_t begin;
    int32_t end;
    int32_t shift;
    const uint8_t* image;
  };

  void draw_pixels(const ImageFormat& format, uint8_t* out) const;

  const RigView& rig_;
  std::vector<rig::Part> in_view_;
  std::vector<Span> spans_;
  uint64_t nearest_part_ = 0;
  int32_t nearest_offset_ = 0;
};
