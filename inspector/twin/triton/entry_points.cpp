// The GenTL entry points: handles to objects, and nothing more.
#include <cstdlib>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "camera.h"
#include "descriptions.h"
#include "gentl.h"
#include "stream.h"

#define GENTL(name) extern "C" __attribute__((visibility("default"))) int32_t name

using gentl::Answer;
using gentl::Error;
using gentl::fail;
using gentl::kSuccess;

namespace {

thread_local Error last_error = kSuccess;
thread_local std::string last_message = "no error";

constexpr char kInterfaceId[] = "twin";
constexpr char kStreamId[] = "Stream0";
constexpr char kRigVariable[] = "INSPECTOR_TWIN_RIG";
#ifdef _WIN32
constexpr char kPathSeparator = ';';
#else
constexpr char kPathSeparator = ':';
#endif

// What a GenTL host calls a device: the local half of a camera.
struct LocalDevice : Module {
  explicit LocalDevice(Camera& c) : Module("TLDevice", kLocalDeviceXml), camera(c) {}
  Camera& camera;
};

// Everything there is. Made once and never destroyed: a host may still call at its process's end.
struct Producer {
  std::recursive_mutex mutex;
  bool initialized = false;
  bool system_open = false;
  bool interface_open = false;
  Module system{"TLSystem", kSystemXml};
  Module interface{"TLInterface", kInterfaceXml};
  std::vector<std::unique_ptr<Camera>> cameras;
  std::vector<std::unique_ptr<LocalDevice>> devices;

  // One camera for each rig named in the environment.
  void find_cameras() {
    if (cameras.empty()) {
      const char* paths = std::getenv(kRigVariable);
      std::string rest = paths != nullptr ? paths : "";
      while (!rest.empty()) {
        const size_t end = rest.find(kPathSeparator);
        cameras.push_back(std::make_unique<Camera>(cameras.size(), rest.substr(0, end)));
        devices.push_back(std::make_unique<LocalDevice>(*cameras.back()));
        rest = end == std::string::npos ? "" : rest.substr(end + 1);
      }
    }
    for (const auto& camera : cameras) camera->look_for_rig();
  }

  LocalDevice* device(const std::string& id) {
    for (const auto& candidate : devices) {
      if (candidate->camera.serial() == id) return candidate.get();
    }
    return nullptr;
  }

  std::vector<Camera*> present() {
    std::vector<Camera*> found;
    for (const auto& camera : cameras) {
      if (camera->present()) found.push_back(camera.get());
    }
    return found;
  }
};

Producer& producer() {
  static Producer& only = *new Producer;
  return only;
}

using Guard = std::lock_guard<std::recursive_mutex>;

// Handles are checked against the objects there are: a host's stale handle is an error, no crash.
Module* module_of(void* handle) {
  Producer& p = producer();
  if (handle == &p.system) return &p.system;
  if (handle == &p.interface) return &p.interface;
  for (const auto& device : p.devices) {
    if (handle == device.get()) return device.get();
    if (handle == static_cast<Module*>(&device->camera)) return &device->camera;
    if (handle == static_cast<Module*>(&device->camera.stream())) return &device->camera.stream();
  }
  return nullptr;
}
LocalDevice* device_of(void* handle) { return dynamic_cast<LocalDevice*>(module_of(handle)); }
Stream* stream_of(void* handle) { return dynamic_cast<Stream*>(module_of(handle)); }
void* handle_of(Module* module) { return module; }

Error bad_handle() { return fail(gentl::kInvalidHandle, "no such handle"); }
Error bad_parameter() { return fail(gentl::kInvalidParameter, "a place to write to is missing"); }
Error ready() {
  return producer().initialized ? kSuccess : fail(gentl::kNotInitialized, "call GCInitLib first");
}

Error system_info(int32_t command, const Answer& answer) {
  switch (command) {
    case gentl::kTlId: return answer.text("inspector-triton");
    case gentl::kTlVendor: return answer.text(kVendor);
    case gentl::kTlModel: return answer.text("Triton twin");
    case gentl::kTlVersion: return answer.text(kVersion);
    case gentl::kTlType: return answer.text(kTlType);
    case gentl::kTlName:
    case gentl::kTlPathname: return answer.text("inspector_triton.cti");
    case gentl::kTlDisplayName: return answer.text("Simulated Triton");
    case gentl::kTlCharEncoding: return answer.int32(1);
    case gentl::kTlGentlMajor: return answer.uint32(1);
    case gentl::kTlGentlMinor: return answer.uint32(5);
    default: return fail(gentl::kNotAvailable, "no such system information");
  }
}

Error interface_info(int32_t command, const Answer& answer) {
  switch (command) {
    case gentl::kInterfaceId: return answer.text(kInterfaceId);
    case gentl::kInterfaceDisplayName: return answer.text("Simulated network of the twin");
    case gentl::kInterfaceTlType: return answer.text(kTlType);
    default: return fail(gentl::kNotAvailable, "no such interface information");
  }
}

}  // namespace

Error gentl::fail(Error code, const char* why) {
  last_error = code;
  last_message = why;
  return code;
}

// -- library --------------------------------------------------------------------------------------

GENTL(GCInitLib)() {
  Producer& p = producer();
  const Guard guard(p.mutex);
  if (p.initialized) return fail(gentl::kResourceInUse, "the library is initialised already");
  p.initialized = true;
  return kSuccess;
}

GENTL(GCCloseLib)() {
  Producer& p = producer();
  const Guard guard(p.mutex);
  if (const Error error = ready()) return error;
  for (const auto& camera : p.cameras) camera->close();
  // The next host may look at other rigs.
  p.devices.clear();
  p.cameras.clear();
  p.initialized = p.system_open = p.interface_open = false;
  return kSuccess;
}

GENTL(GCGetInfo)(int32_t command, int32_t* type, void* buffer, size_t* size) {
  return system_info(command, {type, buffer, size});
}

GENTL(GCGetLastError)(int32_t* code, char* text, size_t* size) {
  if (code != nullptr) *code = last_error;
  return Answer{nullptr, text, size}.text(std::string(last_message));
}

// -- ports ----------------------------------------------------------------------------------------

GENTL(GCReadPort)(void* port, uint64_t address, void* buffer, size_t* size) {
  Module* module = module_of(port);
  if (module == nullptr) return bad_handle();
  if (buffer == nullptr || size == nullptr) return bad_parameter();
  return module->read(address, static_cast<uint8_t*>(buffer), *size);
}

GENTL(GCWritePort)(void* port, uint64_t address, const void* buffer, size_t* size) {
  Module* module = module_of(port);
  if (module == nullptr) return bad_handle();
  if (buffer == nullptr || size == nullptr) return bad_parameter();
  return module->write(address, static_cast<const uint8_t*>(buffer), *size);
}

GENTL(GCReadPortStacked)(void*, void*, size_t*) {
  return fail(gentl::kNotImplemented, "no stacked access");
}

GENTL(GCWritePortStacked)(void*, void*, size_t*) {
  return fail(gentl::kNotImplemented, "no stacked access");
}

GENTL(GCGetPortURL)(void* port, char* text, size_t* size) {
  const Module* module = module_of(port);
  if (module == nullptr) return bad_handle();
  return Answer{nullptr, text, size}.text(module->url());
}

GENTL(GCGetNumPortURLs)(void* port, uint32_t* count) {
  if (module_of(port) == nullptr) return bad_handle();
  if (count == nullptr) return bad_parameter();
  *count = 1;
  return kSuccess;
}

GENTL(GCGetPortURLInfo)
(void* port, uint32_t index, int32_t command, int32_t* type, void* buffer, size_t* size) {
  const Module* module = module_of(port);
  if (module == nullptr) return bad_handle();
  if (index != 0) return fail(gentl::kInvalidIndex, "there is one URL");
  return module->url_info(command, {type, buffer, size});
}

GENTL(GCGetPortInfo)(void* port, int32_t command, int32_t* type, void* buffer, size_t* size) {
  const Module* module = module_of(port);
  if (module == nullptr) return bad_handle();
  return module->port_info(command, {type, buffer, size});
}

// -- events: the stream's new buffers are the only ones -------------------------------------------

GENTL(GCRegisterEvent)(void* source, int32_t kind, void** event) {
  Stream* stream = stream_of(source);
  if (stream == nullptr || kind != gentl::kEventNewBuffer) {
    return fail(gentl::kNotImplemented, "this module has no such event");
  }
  if (event == nullptr) return bad_parameter();
  if (const Error error = stream->register_event()) return error;
  *event = source;
  return kSuccess;
}

GENTL(GCUnregisterEvent)(void* source, int32_t kind) {
  Stream* stream = stream_of(source);
  if (stream == nullptr || kind != gentl::kEventNewBuffer) {
    return fail(gentl::kNotImplemented, "this module has no such event");
  }
  return stream->unregister_event();
}

GENTL(EventGetData)(void* event, void* buffer, size_t* size, uint64_t timeout_ms) {
  Stream* stream = stream_of(event);
  if (stream == nullptr) return bad_handle();
  if (buffer == nullptr || size == nullptr) return bad_parameter();
  if (*size < sizeof(gentl::NewBufferData)) return fail(gentl::kBufferTooSmall, "too small");
  *size = sizeof(gentl::NewBufferData);
  return stream->wait_for_buffer(static_cast<gentl::NewBufferData*>(buffer), timeout_ms);
}

GENTL(EventGetDataInfo)
(void* event, const void* data, size_t data_size, int32_t command, int32_t* type, void* buffer,
 size_t* size) {
  if (stream_of(event) == nullptr) return bad_handle();
  if (data == nullptr || data_size < sizeof(gentl::NewBufferData)) return bad_parameter();
  const auto* fresh = static_cast<const gentl::NewBufferData*>(data);
  const Answer answer{type, buffer, size};
  switch (command) {
    case 0: return answer.pointer(fresh->buffer);
    case 1: return answer.pointer(fresh->user);
    default: return fail(gentl::kNotAvailable, "no such event data");
  }
}

GENTL(EventGetInfo)(void* event, int32_t command, int32_t* type, void* buffer, size_t* size) {
  Stream* stream = stream_of(event);
  if (stream == nullptr) return bad_handle();
  return stream->event_info(command, {type, buffer, size});
}

GENTL(EventFlush)(void* event) {
  Stream* stream = stream_of(event);
  if (stream == nullptr) return bad_handle();
  stream->discard_events();
  return kSuccess;
}

GENTL(EventKill)(void* event) {
  Stream* stream = stream_of(event);
  if (stream == nullptr) return bad_handle();
  stream->abort_wait();
  return kSuccess;
}

// -- system ---------------------------------------------------------------------------------------

GENTL(TLOpen)(void** system) {
  Producer& p = producer();
  const Guard guard(p.mutex);
  if (const Error error = ready()) return error;
  if (system == nullptr) return bad_parameter();
  if (p.system_open) return fail(gentl::kResourceInUse, "the system is open already");
  p.system_open = true;
  *system = handle_of(&p.system);
  return kSuccess;
}

GENTL(TLClose)(void*) {
  Producer& p = producer();
  const Guard guard(p.mutex);
  for (const auto& camera : p.cameras) camera->close();
  p.system_open = p.interface_open = false;
  return kSuccess;
}

GENTL(TLGetInfo)(void*, int32_t command, int32_t* type, void* buffer, size_t* size) {
  return system_info(command, {type, buffer, size});
}

GENTL(TLGetNumInterfaces)(void*, uint32_t* count) {
  if (count == nullptr) return bad_parameter();
  *count = 1;
  return kSuccess;
}

GENTL(TLGetInterfaceID)(void*, uint32_t index, char* text, size_t* size) {
  if (index != 0) return fail(gentl::kInvalidIndex, "there is one interface");
  return Answer{nullptr, text, size}.text(kInterfaceId);
}

GENTL(TLGetInterfaceInfo)
(void*, const char*, int32_t command, int32_t* type, void* buffer, size_t* size) {
  return interface_info(command, {type, buffer, size});
}

GENTL(TLOpenInterface)(void*, const char* id, void** handle) {
  Producer& p = producer();
  const Guard guard(p.mutex);
  if (id == nullptr || handle == nullptr) return bad_parameter();
  if (std::string(id) != kInterfaceId) return fail(gentl::kInvalidId, "no such interface");
  if (p.interface_open) return fail(gentl::kResourceInUse, "the interface is open already");
  p.interface_open = true;
  p.find_cameras();
  *handle = handle_of(&p.interface);
  return kSuccess;
}

GENTL(TLUpdateInterfaceList)(void*, uint8_t* changed, uint64_t) {
  if (changed != nullptr) *changed = 0;
  return kSuccess;
}

// -- interface ------------------------------------------------------------------------------------

GENTL(IFClose)(void*) {
  Producer& p = producer();
  const Guard guard(p.mutex);
  for (const auto& camera : p.cameras) camera->close();
  p.interface_open = false;
  return kSuccess;
}

GENTL(IFGetInfo)(void*, int32_t command, int32_t* type, void* buffer, size_t* size) {
  return interface_info(command, {type, buffer, size});
}

GENTL(IFUpdateDeviceList)(void*, uint8_t* changed, uint64_t) {
  Producer& p = producer();
  const Guard guard(p.mutex);
  const auto before = p.present();
  p.find_cameras();
  if (changed != nullptr) *changed = p.present() != before;
  return kSuccess;
}

GENTL(IFGetNumDevices)(void*, uint32_t* count) {
  Producer& p = producer();
  const Guard guard(p.mutex);
  if (count == nullptr) return bad_parameter();
  *count = static_cast<uint32_t>(p.present().size());
  return kSuccess;
}

GENTL(IFGetDeviceID)(void*, uint32_t index, char* text, size_t* size) {
  Producer& p = producer();
  const Guard guard(p.mutex);
  const auto found = p.present();
  if (index >= found.size()) return fail(gentl::kInvalidIndex, "no such camera");
  return Answer{nullptr, text, size}.text(found[index]->serial());
}

GENTL(IFGetDeviceInfo)
(void*, const char* id, int32_t command, int32_t* type, void* buffer, size_t* size) {
  Producer& p = producer();
  const Guard guard(p.mutex);
  LocalDevice* device = id != nullptr ? p.device(id) : nullptr;
  if (device == nullptr) return fail(gentl::kInvalidId, "no such camera");
  return device->camera.info(command, {type, buffer, size});
}

GENTL(IFOpenDevice)(void*, const char* id, int32_t, void** handle) {
  Producer& p = producer();
  const Guard guard(p.mutex);
  if (handle == nullptr) return bad_parameter();
  LocalDevice* device = id != nullptr ? p.device(id) : nullptr;
  if (device == nullptr) return fail(gentl::kInvalidId, "no such camera");
  if (const Error error = device->camera.open()) return error;
  *handle = handle_of(device);
  return kSuccess;
}

GENTL(IFGetParentTL)(void*, void** handle) {
  if (handle == nullptr) return bad_parameter();
  *handle = handle_of(&producer().system);
  return kSuccess;
}

// -- device ---------------------------------------------------------------------------------------

GENTL(DevClose)(void* handle) {
  const Guard guard(producer().mutex);
  LocalDevice* device = device_of(handle);
  if (device == nullptr) return bad_handle();
  device->camera.close();
  return kSuccess;
}

GENTL(DevGetInfo)(void* handle, int32_t command, int32_t* type, void* buffer, size_t* size) {
  const LocalDevice* device = device_of(handle);
  if (device == nullptr) return bad_handle();
  return device->camera.info(command, {type, buffer, size});
}

GENTL(DevGetPort)(void* handle, void** port) {
  LocalDevice* device = device_of(handle);
  if (device == nullptr) return bad_handle();
  if (port == nullptr) return bad_parameter();
  *port = handle_of(&device->camera);
  return kSuccess;
}

GENTL(DevGetNumDataStreams)(void*, uint32_t* count) {
  if (count == nullptr) return bad_parameter();
  *count = 1;
  return kSuccess;
}

GENTL(DevGetDataStreamID)(void*, uint32_t index, char* text, size_t* size) {
  if (index != 0) return fail(gentl::kInvalidIndex, "there is one stream");
  return Answer{nullptr, text, size}.text(kStreamId);
}

GENTL(DevOpenDataStream)(void* handle, const char* id, void** stream) {
  LocalDevice* device = device_of(handle);
  if (device == nullptr) return bad_handle();
  if (stream == nullptr || id == nullptr) return bad_parameter();
  if (std::string(id) != kStreamId) return fail(gentl::kInvalidId, "no such stream");
  if (const Error error = device->camera.stream().open()) return error;
  *stream = handle_of(&device->camera.stream());
  return kSuccess;
}

GENTL(DevGetParentIF)(void*, void** handle) {
  if (handle == nullptr) return bad_parameter();
  *handle = handle_of(&producer().interface);
  return kSuccess;
}

// -- data stream ----------------------------------------------------------------------------------

GENTL(DSClose)(void* handle) {
  Stream* stream = stream_of(handle);
  if (stream == nullptr) return bad_handle();
  stream->close();
  return kSuccess;
}

GENTL(DSGetInfo)(void* handle, int32_t command, int32_t* type, void* buffer, size_t* size) {
  Stream* stream = stream_of(handle);
  if (stream == nullptr) return bad_handle();
  return stream->info(command, {type, buffer, size});
}

GENTL(DSGetParentDev)(void* handle, void** parent) {
  const Stream* stream = stream_of(handle);
  if (stream == nullptr) return bad_handle();
  if (parent == nullptr) return bad_parameter();
  for (const auto& device : producer().devices) {
    if (&device->camera.stream() == stream) *parent = handle_of(device.get());
  }
  return kSuccess;
}

GENTL(DSStartAcquisition)(void* handle, int32_t, uint64_t) {
  Stream* stream = stream_of(handle);
  return stream != nullptr ? stream->start() : bad_handle();
}

GENTL(DSStopAcquisition)(void* handle, int32_t) {
  Stream* stream = stream_of(handle);
  if (stream == nullptr) return bad_handle();
  stream->stop();
  return kSuccess;
}

GENTL(DSAnnounceBuffer)(void* handle, void* data, size_t size, void* user, void** buffer) {
  Stream* stream = stream_of(handle);
  if (stream == nullptr) return bad_handle();
  if (data == nullptr) return bad_parameter();
  return stream->announce(data, size, user, buffer);
}

GENTL(DSAllocAndAnnounceBuffer)(void* handle, size_t size, void* user, void** buffer) {
  Stream* stream = stream_of(handle);
  return stream != nullptr ? stream->announce(nullptr, size, user, buffer) : bad_handle();
}

GENTL(DSRevokeBuffer)(void* handle, void* buffer, void** data, void** user) {
  Stream* stream = stream_of(handle);
  if (stream == nullptr) return bad_handle();
  return stream->revoke(static_cast<HostBuffer*>(buffer), data, user);
}

GENTL(DSQueueBuffer)(void* handle, void* buffer) {
  Stream* stream = stream_of(handle);
  return stream != nullptr ? stream->queue(static_cast<HostBuffer*>(buffer)) : bad_handle();
}

GENTL(DSFlushQueue)(void* handle, int32_t operation) {
  Stream* stream = stream_of(handle);
  return stream != nullptr ? stream->flush(operation) : bad_handle();
}

GENTL(DSGetBufferID)(void* handle, uint32_t index, void** buffer) {
  Stream* stream = stream_of(handle);
  if (stream == nullptr) return bad_handle();
  return buffer != nullptr ? stream->buffer_at(index, buffer) : bad_parameter();
}

GENTL(DSGetBufferInfo)
(void* handle, void* buffer, int32_t command, int32_t* type, void* out, size_t* size) {
  Stream* stream = stream_of(handle);
  if (stream == nullptr) return bad_handle();
  return stream->buffer_info(static_cast<HostBuffer*>(buffer), command, {type, out, size});
}

GENTL(DSGetBufferChunkData)(void* handle, void* buffer, void* chunks, size_t* count) {
  Stream* stream = stream_of(handle);
  if (stream == nullptr) return bad_handle();
  return stream->chunks(static_cast<HostBuffer*>(buffer), static_cast<gentl::ChunkData*>(chunks),
                        count);
}

GENTL(DSGetNumBufferParts)(void*, void*, uint32_t*) {
  return fail(gentl::kNotAvailable, "buffers have no parts");
}

GENTL(DSGetBufferPartInfo)(void*, void*, uint32_t, int32_t, int32_t*, void*, size_t*) {
  return fail(gentl::kNotAvailable, "buffers have no parts");
}

// Hosts complain about every entry point they do not find, so those of composite buffers and flows
// are there to decline.
GENTL(DSAnnounceCompositeBuffer)(void*, size_t, void**, size_t*, void*, void**) {
  return fail(gentl::kNotImplemented, "no composite buffers");
}

GENTL(DSGetNumFlows)(void*, uint32_t*) { return fail(gentl::kNotImplemented, "no flows"); }

GENTL(DSGetFlowInfo)(void*, uint32_t, int32_t, int32_t*, void*, size_t*) {
  return fail(gentl::kNotImplemented, "no flows");
}

GENTL(DSGetNumBufferSegments)(void*, void*, uint32_t*) {
  return fail(gentl::kNotImplemented, "no composite buffers");
}

GENTL(DSGetBufferSegmentInfo)(void*, void*, uint32_t, int32_t, int32_t*, void*, size_t*) {
  return fail(gentl::kNotImplemented, "no composite buffers");
}
