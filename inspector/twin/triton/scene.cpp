#include "scene.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "registers.h"

namespace {

constexpr int32_t kSensorWidth = rig::kWidth;

struct Cup {
  uint64_t part;
  int32_t offset;  // px right of the picture's centre
  const uint8_t* image;
};

// Drawn value (0 to 255) → sensor value of the pixel format's depth, saturating.
template <class Pixel>
std::array<Pixel, 256> response(double brightness, double full_scale) {
  std::array<Pixel, 256> table{};
  for (size_t drawn = 0; drawn < table.size(); ++drawn) {
    const double value = std::round(static_cast<double>(drawn) * brightness * full_scale / 255.0);
    table[drawn] = static_cast<Pixel>(std::min(value, full_scale));
  }
  return table;
}

// One row of a Bayer RG mosaic: `pixels` is the drawn RGB of column `x`, `first` and `second` are
// the colour channels of even and odd columns. `Map` turns a drawn into a sensor value.
template <class Pixel, class Map>
void mosaic_row(const uint8_t* __restrict pixels, uint32_t x, uint32_t count, unsigned first,
                unsigned second, Map map, Pixel* __restrict out) {
  if (count > 0 && x % 2 == 1) {
    *out++ = map(pixels[second]);
    pixels += 3;
    --count;
  }
  const uint8_t* even = pixels + first;
  const uint8_t* odd = pixels + 3 + second;
  const uint32_t pairs = count / 2;
  for (uint32_t pair = 0; pair < pairs; ++pair) {
    out[2 * pair] = map(even[6 * pair]);
    out[2 * pair + 1] = map(odd[6 * pair]);
  }
  if (count % 2 == 1) out[count - 1] = map(even[6 * size_t{pairs}]);
}

// Calls row(y, pixels, x, count, offset) for every span in every row; offset is in px of the output.
template <class Spans, class Row>
void for_each_run(const ImageFormat& format, const Spans& spans, Row row) {
  for (uint32_t line = 0; line < format.height; ++line) {
    const uint32_t y = format.y + line;
    for (const auto& span : spans) {
      const int32_t begin = std::max<int32_t>(span.begin, format.x);
      const int32_t end = std::min<int32_t>(span.end, format.x + format.width);
      if (begin >= end) continue;
      const uint8_t* pixels = span.image + 3 * (size_t{y} * kSensorWidth + begin - span.shift);
      row(y, pixels, static_cast<uint32_t>(begin), static_cast<uint32_t>(end - begin),
          size_t{line} * format.width + (begin - format.x));
    }
  }
}

template <class Pixel, class Spans, class Map>
void draw_bayer(const ImageFormat& format, const Spans& spans, Map map, uint8_t* out) {
  auto* target = reinterpret_cast<Pixel*>(out);
  for_each_run(format, spans,
               [&](uint32_t y, const uint8_t* pixels, uint32_t x, uint32_t count, size_t offset) {
                 const unsigned first = y % 2 == 0 ? 0 : 1;  // R or G
                 mosaic_row(pixels, x, count, first, first + 1, map, target + offset);
               });
}

template <class Spans>
void draw_bayer16(const ImageFormat& format, const Spans& spans, double full_scale, uint8_t* out) {
  const auto table = response<uint16_t>(format.brightness, full_scale);
  draw_bayer<uint16_t>(format, spans, [&](uint8_t drawn) { return table[drawn]; }, out);
}

}  // namespace

Scene::Scene(const RigView& rig, int64_t at_ns) : rig_(rig) {
  const double px_per_ns = load(rig.fields().header.belt_px_per_s) / 1e9;
  std::vector<Cup> cups;
  for (const rig::Part& part : rig.belt()) {
    const double offset = std::round(static_cast<double>(at_ns - part.eye_ns) * px_per_ns);
    if (std::abs(offset) >= kSensorWidth) continue;
    in_view_.push_back(part);
    cups.push_back({part.number, static_cast<int32_t>(offset), rig.image(part.image_slot)});
    if (nearest_part_ == 0 || std::abs(cups.back().offset) < std::abs(nearest_offset_)) {
      nearest_part_ = part.number;
      nearest_offset_ = cups.back().offset;
    }
  }
  if (std::abs(nearest_offset_) > kSensorWidth / 2) nearest_part_ = 0;
  if (nearest_part_ == 0) nearest_offset_ = 0;

  std::stable_sort(cups.begin(), cups.end(),
                   [](const Cup& a, const Cup& b) { return a.offset < b.offset; });
  // Of cups in the very same place the first one is seen.
  cups.erase(std::unique(cups.begin(), cups.end(),
                         [](const Cup& a, const Cup& b) { return a.offset == b.offset; }),
             cups.end());
  const auto add = [&](int32_t begin, int32_t end, int32_t shift, const uint8_t* image) {
    if (begin < end) spans_.push_back({begin, end, shift, image});
  };
  int32_t column = 0;
  for (size_t index = 0; index < cups.size(); ++index) {
    const Cup& cup = cups[index];
    // A column belongs to the nearest cup; half-way, to the left one.
    int32_t border = kSensorWidth;
    if (index + 1 < cups.size()) {
      const double middle = kSensorWidth / 2 + (cup.offset + cups[index + 1].offset) / 2.0;
      border = std::clamp(static_cast<int32_t>(std::floor(middle)) + 1, column, kSensorWidth);
    }
    // Its own picture reaches only so far; beyond is belt.
    const int32_t begin = std::clamp(cup.offset, column, border);
    const int32_t end = std::clamp(cup.offset + kSensorWidth, begin, border);
    add(column, begin, 0, rig.background());
    add(begin, end, cup.offset, cup.image);
    add(end, border, 0, rig.background());
    column = border;
  }
  add(column, kSensorWidth, 0, rig.background());
}

bool Scene::draw(const ImageFormat& format, uint8_t* out) const {
  draw_pixels(format, out);
  return std::all_of(in_view_.begin(), in_view_.end(),
                     [&](const rig::Part& part) { return rig_.has_picture(part); });
}

void Scene::draw_pixels(const ImageFormat& format, uint8_t* out) const {
  const auto table = response<uint8_t>(format.brightness, 255.0);
  const bool as_drawn = format.brightness == 1.0;
  switch (format.pixel_format) {
    case value::PixelFormat_BayerRG10:
      return draw_bayer16(format, spans_, 1023.0, out);
    case value::PixelFormat_BayerRG12:
      return draw_bayer16(format, spans_, 4095.0, out);
    case value::PixelFormat_BayerRG16:
      return draw_bayer16(format, spans_, 65535.0, out);
    case value::PixelFormat_Mono8:
      return for_each_run(
          format, spans_,
          [&](uint32_t, const uint8_t* pixels, uint32_t, uint32_t count, size_t offset) {
            for (uint32_t i = 0; i < count; ++i) {
              const uint8_t* rgb = pixels + 3 * size_t{i};
              // BT.601 luma in 8-bit integers.
              out[offset + i] = table[(77u * rgb[0] + 150u * rgb[1] + 29u * rgb[2] + 128u) >> 8];
            }
          });
    case value::PixelFormat_RGB8:
      return for_each_run(
          format, spans_,
          [&](uint32_t, const uint8_t* pixels, uint32_t, uint32_t count, size_t offset) {
            uint8_t* target = out + 3 * offset;
            if (as_drawn) {
              std::memcpy(target, pixels, 3 * size_t{count});
            } else {
              for (size_t i = 0; i < 3 * size_t{count}; ++i) target[i] = table[pixels[i]];
            }
          });
    default:  // BayerRG8
      if (as_drawn) {
        return draw_bayer<uint8_t>(format, spans_, [](uint8_t drawn) { return drawn; }, out);
      }
      return draw_bayer<uint8_t>(format, spans_, [&](uint8_t drawn) { return table[drawn]; }, out);
  }
}
