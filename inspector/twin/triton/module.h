// A GenTL module: something with a port, a GenICam description, and a TL type.
#pragma once

#include <cstdint>
#include <string>

#include "gentl.h"

constexpr char kVendor[] = "Lucid Vision Labs (simulated)";
constexpr char kModel[] = "TRI054S-CC (twin)";
constexpr char kVersion[] = "1.0.0";
// As a GigE Vision camera's producer says; the host picks its chunk layout by it.
constexpr char kTlType[] = "GEV";

class Module {
 public:
  // `port` is the name of the port in `xml`.
  Module(const char* port, const char* xml) : port_(port), xml_(xml) {}
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  gentl::Error read(uint64_t address, uint8_t* out, size_t size);
  gentl::Error write(uint64_t address, const uint8_t* data, size_t size);
  std::string url() const;
  gentl::Error url_info(int32_t command, const gentl::Answer& answer) const;
  gentl::Error port_info(int32_t command, const gentl::Answer& answer) const;

 protected:
  virtual gentl::Error read_register(uint64_t address, uint8_t* out, size_t size);
  virtual gentl::Error write_register(uint64_t address, const uint8_t* data, size_t size);
  // kSuccess while the module can be reached.
  virtual gentl::Error reachable() { return gentl::kSuccess; }

 private:
  std::string file_name() const { return "triton_twin_" + port_ + ".xml"; }

  const std::string port_;
  const std::string xml_;
};
