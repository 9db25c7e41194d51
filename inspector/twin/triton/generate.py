"""The C++ headers that are generated: rig layout, registers, GenICam descriptions."""

from typing import Any

import numpy as np

from inspector.twin import rig_layout
from inspector.twin.triton.device import description, registers_header, triton

_STRUCTS = {
    "Header": rig_layout.HEADER,
    "Faults": rig_layout.FAULTS,
    "Camera": rig_layout.CAMERA,
    "Part": rig_layout.PART,
    "Frame": rig_layout.FRAME,
    "Rig": rig_layout.RIG,
}
_MODULES = {
    "kSystemXml": ("TLSystem", "TLID", "inspector-triton"),
    "kInterfaceXml": ("TLInterface", "InterfaceID", "twin"),
    "kLocalDeviceXml": ("TLDevice", "DeviceID", "triton"),
    "kStreamXml": ("TLDataStream", "StreamID", "Stream0"),
}


def headers() -> dict[str, str]:
    """File name → text of every generated header."""
    device = triton()
    return {
        "rig_layout.h": rig_layout_header(),
        "registers.h": registers_header(device),
        "descriptions.h": _descriptions_header(device.description_xml()),
    }


def rig_layout_header() -> str:
    """The rig's dtypes as C++ structs, every offset and size asserted."""
    structs = "\n".join(_struct(name, dtype) for name, dtype in _STRUCTS.items())
    constants = {
        "kWidth": rig_layout.WIDTH,
        "kHeight": rig_layout.HEIGHT,
        "kImages": rig_layout.N_IMAGES,
        "kParts": rig_layout.N_PARTS,
        "kFramesLogged": rig_layout.N_FRAMES_LOGGED,
        "kImageBytes": rig_layout.IMAGE_BYTES,
        "kImagesOffset": rig_layout.IMAGES_OFFSET,
        "kBytes": rig_layout.RIG_BYTES,
        "kPhotoEyePulseNs": rig_layout.PHOTO_EYE_PULSE_NS,
    }
    lines = "\n".join(f"constexpr int64_t {name} = {value};" for name, value in constants.items())
    return f"""// Generated from inspector/twin/rig_layout.py.
#pragma once
#include <cstddef>
#include <cstdint>
namespace rig {{
{lines}
constexpr uint64_t kLayoutHash = {rig_layout.LAYOUT_HASH:#x}u;
{structs}
}}
"""


def _struct(name: str, dtype: np.dtype[Any]) -> str:
    fields: list[str] = []
    checks = [f"static_assert(sizeof({name}) == {dtype.itemsize});"]
    for field, (kind, offset, *_) in (dtype.fields or {}).items():
        shape = kind.subdtype[1] if kind.subdtype else ()
        base = kind.subdtype[0] if kind.subdtype else kind
        array = "".join(f"[{count}]" for count in shape)
        if base.kind == "S":
            array = f"[{base.itemsize}]"
        fields.append(f"  {_c_type(base)} {field}{array};")
        checks.append(f"static_assert(offsetof({name}, {field}) == {offset});")
    return f"struct {name} {{\n" + "\n".join(fields) + "\n};\n" + "\n".join(checks)


def _c_type(dtype: np.dtype[Any]) -> str:
    for name, struct in _STRUCTS.items():
        if dtype == struct:
            return name
    if dtype.kind == "S":
        return "char"
    if dtype == np.float64:
        return "double"
    return f"{'u' if dtype.kind == 'u' else ''}int{dtype.itemsize * 8}_t"


def _descriptions_header(device_xml: str) -> str:
    texts = {"kDeviceXml": device_xml}
    for name, (port, feature, value) in _MODULES.items():
        node = f'<String Name="{feature}"><Value>{value}</Value></String>'
        texts[name] = description(port, port, {"General": [feature]}, [node])
    constants = "\n".join(
        f'constexpr char {name}[] = R"xml({text})xml";' for name, text in texts.items()
    )
    return f"""// Generated from inspector/twin/triton/device.py.
#pragma once
{constants}
"""
