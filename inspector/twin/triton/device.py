"""What the simulated Triton offers: its features, their registers and their power-up values.

One table for both sides. `description_xml` turns it into the GenICam description that the host
reads; `registers_header` turns it into the addresses, enumeration values and power-up image that
the C++ side works with. Feature names follow the SFNC.
"""

import struct
from dataclasses import dataclass, field
from html import escape
from typing import Final, Literal

from inspector.twin.rig_layout import HEIGHT, WIDTH

Access = Literal["RO", "RW", "WO"]
FIRST_REGISTER: Final = 0x1000

PIXEL_FORMATS: Final = {
    "Mono8": 0x01080001,
    "BayerRG8": 0x01080009,
    "BayerRG10": 0x0110000D,
    "BayerRG12": 0x01100011,
    "BayerRG16": 0x0110002F,
    "RGB8": 0x02180014,
}
"""PFNC values; 10 and 12 bit are the unpacked formats, in 16-bit words."""
CHUNK_IDS: Final = {
    "Image": 0x1,
    "FrameID": 0x10,
    "Timestamp": 0x11,
    "ExposureTime": 0x12,
    "LineStatusAll": 0x13,
}
LINES: Final = ("Line0", "Line1", "Line2", "Line3")
USER_OUTPUTS: Final = ("UserOutput0", "UserOutput1", "UserOutput2", "UserOutput3")


@dataclass
class Device:
    """Collects features as they are declared: XML nodes, registers, power-up bytes."""

    name: str
    nodes: list[str] = field(default_factory=list)
    categories: dict[str, list[str]] = field(default_factory=dict)
    addresses: dict[str, int] = field(default_factory=dict)
    values: dict[str, int] = field(default_factory=dict)
    power_up: bytearray = field(default_factory=bytearray)

    def category(self, name: str) -> None:
        """Features declared from now on belong to this category."""
        self.categories[name] = []

    def integer(
        self,
        name: str,
        default: int = 0,
        *,
        low: int = 0,
        high: int | str = 0xFFFFFFFF,
        step: int = 1,
        access: Access = "RW",
        unit: str = "",
        locked: bool = False,
        bytes_: int = 4,
    ) -> None:
        """An integer; `high` may name the feature that limits it."""
        self._feature(
            "Integer",
            name,
            _locked(locked),
            f"<pValue>{name}Reg</pValue><Min>{low}</Min>{_highest(high)}<Inc>{step}</Inc>"
            + _unit(unit),
        )
        self._integer_register(name, access, default, bytes_=bytes_)

    def floating(
        self,
        name: str,
        default: float,
        *,
        low: float = 0.0,
        high: float | str,
        access: Access = "RW",
        unit: str = "",
    ) -> None:
        """A 64-bit float; `high` may name the feature that limits it."""
        self._feature(
            "Float",
            name,
            f"<pValue>{name}Reg</pValue><Min>{low}</Min>{_highest(high)}{_unit(unit)}",
        )
        address = self._register(name, struct.pack("<d", default))
        self._node(
            f'<FloatReg Name="{name}Reg"><Address>{address:#x}</Address><Length>8</Length>'
            f"<AccessMode>{access}</AccessMode><pPort>Device</pPort><Cachable>NoCache</Cachable>"
            "<Endianess>LittleEndian</Endianess></FloatReg>"
        )

    def enumeration(
        self,
        name: str,
        entries: dict[str, int] | tuple[str, ...],
        default: str,
        *,
        locked: bool = False,
        selects: tuple[str, ...] = (),
        by: tuple[str, list[str]] | None = None,
    ) -> None:
        """An enumeration; `selects` names what it selects, `by` its selector and their defaults."""
        if isinstance(entries, tuple):
            entries = {entry: value for value, entry in enumerate(entries)}
        for entry, value in entries.items():
            self.values[f"{name}_{entry}"] = value
        self._feature(
            "Enumeration",
            name,
            _locked(locked),
            "".join(
                f'<EnumEntry Name="{entry}"><Value>{value}</Value></EnumEntry>'
                for entry, value in entries.items()
            )
            + f"<pValue>{name}Reg</pValue>"
            + "".join(f"<pSelected>{selected}</pSelected>" for selected in selects),
        )
        defaults = [entries[word] for word in by[1]] if by else [entries[default]]
        self._integer_register(name, "RW", *defaults, selector=by[0] if by else None)

    def boolean(
        self,
        name: str,
        *,
        access: Access = "RW",
        by: tuple[str, int] | None = None,
        locked: bool = False,
    ) -> None:
        """A boolean, off at power-up; `by` names its selector and how many there are."""
        self._feature(
            "Boolean",
            name,
            _locked(locked),
            f"<pValue>{name}Reg</pValue><OnValue>1</OnValue><OffValue>0</OffValue>",
        )
        count = by[1] if by else 1
        self._integer_register(name, access, *[0] * count, selector=by[0] if by else None)

    def command(self, name: str) -> None:
        """A command: writing 1 runs it."""
        self._feature("Command", name, f"<pValue>{name}Reg</pValue><CommandValue>1</CommandValue>")
        self._integer_register(name, "WO", 0)

    def string(self, name: str, value: str, *, access: Access = "RO", length: int = 64) -> None:
        """A string of at most `length` bytes."""
        address = self._register(name, value.encode().ljust(length, b"\0"))
        self._feature(
            "StringReg",
            name,
            f"<Address>{address:#x}</Address><Length>{length}</Length>"
            f"<AccessMode>{access}</AccessMode><pPort>Device</pPort><Cachable>NoCache</Cachable>",
        )

    def chunk(self, kind: Literal["IntReg", "FloatReg"], chunk: str) -> None:
        """A feature read from the data that came with a frame."""
        sign = "<Sign>Unsigned</Sign>" if kind == "IntReg" else ""
        self._feature(
            kind,
            f"Chunk{chunk}",
            f"<Address>0</Address><Length>8</Length><AccessMode>RO</AccessMode>"
            f"<pPort>Chunk{chunk}Port</pPort><Cachable>NoCache</Cachable>{sign}"
            "<Endianess>LittleEndian</Endianess>",
        )
        self._node(f'<Port Name="Chunk{chunk}Port"><ChunkID>{CHUNK_IDS[chunk]:x}</ChunkID></Port>')

    def description_xml(self) -> str:
        """The GenICam description of everything declared so far."""
        return description(self.name, "Device", self.categories, self.nodes)

    def _feature(self, kind: str, name: str, *parts: str) -> None:
        *_, category = self.categories
        self.categories[category].append(name)
        self._node(f'<{kind} Name="{name}">{"".join(parts)}</{kind}>')

    def _node(self, node: str) -> None:
        self.nodes.append(node)

    def _register(self, name: str, power_up: bytes) -> int:
        address = FIRST_REGISTER + len(self.power_up)
        self.addresses[name] = address
        self.power_up += power_up.ljust(-(-len(power_up) // 8) * 8, b"\0")
        return address

    def _integer_register(
        self,
        name: str,
        access: Access,
        *defaults: int,
        bytes_: int = 4,
        selector: str | None = None,
    ) -> None:
        packed = b"".join(value.to_bytes(bytes_, "little") for value in defaults)
        address = self._register(name, packed)
        index = f'<pIndex Offset="{bytes_}">{selector}Reg</pIndex>' if selector else ""
        self._node(
            f'<IntReg Name="{name}Reg"><Address>{address:#x}</Address>{index}'
            f"<Length>{bytes_}</Length><AccessMode>{access}</AccessMode><pPort>Device</pPort>"
            "<Cachable>NoCache</Cachable><Sign>Unsigned</Sign><Endianess>LittleEndian</Endianess>"
            "</IntReg>"
        )


def _locked(locked: bool) -> str:
    return "<pIsLocked>TLParamsLocked</pIsLocked>" if locked else ""


def _unit(unit: str) -> str:
    return f"<Unit>{unit}</Unit>" if unit else ""


def _highest(value: float | str) -> str:
    return f"<pMax>{value}</pMax>" if isinstance(value, str) else f"<Max>{value}</Max>"


def description(model: str, port: str, categories: dict[str, list[str]], nodes: list[str]) -> str:
    """A whole GenICam description: a root of categories, the nodes, and the port they use."""
    root = "".join(f"<pFeature>{name}</pFeature>" for name in categories)
    groups = "\n".join(
        f'<Category Name="{name}">'
        + "".join(f"<pFeature>{feature}</pFeature>" for feature in features)
        + "</Category>"
        for name, features in categories.items()
    )
    body = "\n".join(nodes)
    return f"""<?xml version="1.0" encoding="utf-8"?>
<RegisterDescription ModelName="{escape(model)}" VendorName="LucidVisionLabs"
  StandardNameSpace="None" SchemaMajorVersion="1" SchemaMinorVersion="1" SchemaSubMinorVersion="0"
  MajorVersion="1" MinorVersion="0" SubMinorVersion="0"
  ProductGuid="5F6E1B40-2C0D-4E57-9A3C-0D6B9C1E7A11"
  VersionGuid="B1A0C7D2-6A1F-4B9E-8C55-3E0F7D21A9C4"
  xmlns="http://www.genicam.org/GenApi/Version_1_1">
<Category Name="Root">{root}</Category>
{groups}
{body}
<Port Name="{port}"/>
</RegisterDescription>
"""


def triton() -> Device:
    """The camera's features. Limits and defaults follow a TRI054S where they are public."""
    d = Device("TRI054S_CC_twin")
    d.category("DeviceControl")
    d.string("DeviceVendorName", "Lucid Vision Labs (simulated)")
    d.string("DeviceModelName", "TRI054S-CC (twin)")
    d.string("DeviceFirmwareVersion", "1.0.0")
    d.string("DeviceSerialNumber", "TWIN-1")
    d.string("DeviceUserID", "", access="RW", length=32)
    d.floating("DeviceTemperature", 38.0, low=-20.0, high=120.0, access="RO", unit="C")
    d.integer("DeviceLinkThroughputLimit", 125_000_000, low=1_000_000, high=125_000_000, unit="Bps")
    d.command("TimestampLatch")
    d.integer("TimestampLatchValue", access="RO", unit="ns", bytes_=8, high=2**63 - 1)
    d.integer("Timestamp", access="RO", unit="ns", bytes_=8, high=2**63 - 1)

    d.category("ImageFormatControl")
    d.integer("SensorWidth", WIDTH, access="RO", unit="px")
    d.integer("SensorHeight", HEIGHT, access="RO", unit="px")
    d.integer("WidthMax", WIDTH, access="RO", unit="px")
    d.integer("HeightMax", HEIGHT, access="RO", unit="px")
    d.integer("Width", WIDTH, low=16, high="WidthMax", step=4, unit="px", locked=True)
    d.integer("Height", HEIGHT, low=2, high="HeightMax", step=2, unit="px", locked=True)
    d.integer("OffsetX", 0, high="OffsetXMax", step=4, unit="px", locked=True)
    d.integer("OffsetY", 0, high="OffsetYMax", step=2, unit="px", locked=True)
    d.integer("OffsetXMax", 0, access="RO", unit="px")
    d.integer("OffsetYMax", 0, access="RO", unit="px")
    d.enumeration("PixelFormat", PIXEL_FORMATS, "BayerRG8", locked=True)

    d.category("AcquisitionControl")
    d.enumeration("AcquisitionMode", ("Continuous", "SingleFrame"), "Continuous", locked=True)
    d.command("AcquisitionStart")
    d.command("AcquisitionStop")
    d.boolean("AcquisitionFrameRateEnable")
    d.floating("AcquisitionFrameRate", 20.0, low=0.1, high="AcquisitionFrameRateMax", unit="Hz")
    d.floating("AcquisitionFrameRateMax", 22.2, high=1e6, access="RO", unit="Hz")
    d.floating("ResultingFrameRate", 22.2, high=1e6, access="RO", unit="Hz")
    d.floating("ExposureTime", 1000.0, low=1.0, high=1e6, unit="us")
    d.enumeration("TriggerSelector", ("FrameStart",), "FrameStart")
    d.enumeration("TriggerMode", ("Off", "On"), "Off")
    d.enumeration(
        "TriggerSource", {**dict(zip(LINES, range(4), strict=True)), "Software": 16}, "Line0"
    )
    d.command("TriggerSoftware")
    d.enumeration("TriggerActivation", ("RisingEdge", "FallingEdge"), "RisingEdge")
    d.floating("TriggerDelay", 0.0, high=1e6, unit="us")

    d.category("AnalogControl")
    d.floating("Gain", 0.0, high=48.0, unit="dB")

    d.category("DigitalIOControl")
    d.enumeration("LineSelector", LINES, "Line0", selects=("LineMode", "LineSource", "LineStatus"))
    modes = ["Input", "Output", "Input", "Input"]
    d.enumeration("LineMode", ("Input", "Output"), "Input", by=("LineSelector", modes))
    d.enumeration(
        "LineSource",
        ("Off", *USER_OUTPUTS, "ExposureActive", "Timer0Active"),
        "Off",
        by=("LineSelector", ["Off"] * len(LINES)),
    )
    d.boolean("LineStatus", access="RO", by=("LineSelector", len(LINES)))
    d.integer("LineStatusAll", access="RO")
    d.enumeration("UserOutputSelector", USER_OUTPUTS, "UserOutput0", selects=("UserOutputValue",))
    d.boolean("UserOutputValue", by=("UserOutputSelector", len(USER_OUTPUTS)))

    d.category("CounterAndTimerControl")
    d.enumeration("TimerSelector", ("Timer0",), "Timer0")
    d.enumeration("TimerTriggerSource", ("Off", "SoftwareSignal0"), "Off")
    d.floating("TimerDuration", 10_000.0, low=1.0, high=1e7, unit="us")
    d.category("SoftwareSignalControl")
    d.enumeration("SoftwareSignalSelector", ("SoftwareSignal0",), "SoftwareSignal0")
    d.command("SoftwareSignalPulse")

    d.category("ChunkDataControl")
    d.boolean("ChunkModeActive", locked=True)
    chunks = tuple(name for name in CHUNK_IDS if name != "Image")
    d.enumeration("ChunkSelector", chunks, "FrameID", selects=("ChunkEnable",))
    d.boolean("ChunkEnable", by=("ChunkSelector", len(chunks)), locked=True)
    d.chunk("IntReg", "FrameID")
    d.chunk("IntReg", "Timestamp")
    d.chunk("FloatReg", "ExposureTime")
    d.chunk("IntReg", "LineStatusAll")

    d.category("TransportLayerControl")
    d.integer("PayloadSize", access="RO", unit="B", bytes_=8, high=2**63 - 1)
    d.integer("TLParamsLocked", 0, high=1)
    d.integer("GevSCPSPacketSize", 1500, low=220, high=9014, step=2, unit="B")
    return d


def registers_header(device: Device) -> str:
    """The C++ view of the device: `reg::` addresses, `value::` enumeration values, power-up bytes."""
    addresses = "\n".join(
        f"constexpr uint64_t {name} = {address:#x};" for name, address in device.addresses.items()
    )
    values = "\n".join(
        f"constexpr uint32_t {name} = {value:#x};" for name, value in device.values.items()
    )
    chunks = "\n".join(
        f"constexpr uint32_t {name} = {value:#x};" for name, value in CHUNK_IDS.items()
    )
    power_up = ",".join(map(str, device.power_up))
    return f"""// Generated from inspector/twin/triton/device.py.
#pragma once
#include <cstddef>
#include <cstdint>
namespace reg {{
constexpr uint64_t kFirst = {FIRST_REGISTER:#x};
constexpr size_t kBytes = {len(device.power_up)};
{addresses}
}}
namespace value {{
{values}
}}
namespace chunk {{
constexpr unsigned kKinds = {len(CHUNK_IDS) - 1};
{chunks}
}}
constexpr unsigned kLines = {len(LINES)};
constexpr unsigned kUserOutputs = {len(USER_OUTPUTS)};
constexpr uint8_t kPowerUp[reg::kBytes] = {{{power_up}}};
"""
