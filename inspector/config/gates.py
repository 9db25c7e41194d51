"""A lane's gate: one class of settings a driver, chosen by ``driver``."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from inspector.config.base import ConfiguredPath, Settings

BLOCK_REGISTERS = 80
"""Of the longer of a lane's two blocks (docs/plc.md)."""


class GateSettings(Settings):
    """What every gate has, whatever drives it."""

    poll_ms: float = Field(default=10.0, gt=0, le=100, description="time between two exchanges, ms")
    timeout_ms: float = Field(
        default=200.0, gt=0, description="longest wait for the PLC's word, ms"
    )


class ModbusGateSettings(GateSettings):
    """The PLC at the reject gate is a Modbus TCP server, the line its client."""

    driver: Literal["modbus"] = Field(default="modbus", description="how the gate is driven")
    host: str = Field(default="127.0.0.1", description="PLC address")
    port: int = Field(default=502, ge=1, le=65535, description="Modbus TCP port")
    unit: int = Field(default=1, ge=0, le=255, description="Modbus unit id")
    base_register: int = Field(
        default=0, ge=0, le=65000, description="first register of this lane's block (docs/plc.md)"
    )

    @property
    def address(self) -> str:
        """Where it is, for people."""
        return f"{self.host}:{self.port}"


class ModbusServerGateSettings(GateSettings):
    """The line is a Modbus TCP server, the PLC its client."""

    driver: Literal["modbus_server"] = Field(description="how the gate is driven")
    host: str = Field(
        default="0.0.0.0",  # noqa: S104 (the PLC comes from outside)
        description="address of this computer to listen on",
    )
    port: int = Field(
        default=502,
        ge=1,
        le=65535,
        description="Modbus TCP port to listen on; each lane has its own",
    )

    @property
    def listener(self) -> str:
        """Where the line listens."""
        return f"{self.host}:{self.port}"

    @property
    def address(self) -> str:
        """Where the PLC is, for people: nobody but its own settings know."""
        return f"the PLC's client at {self.listener}"


class S7GateSettings(GateSettings):
    """A Siemens PLC with a data block for either direction, reached by S7 communication (PUT/GET)."""

    driver: Literal["s7"] = Field(description="how the gate is driven; needs the extra 's7'")
    host: str = Field(default="127.0.0.1", description="PLC address")
    port: int = Field(default=102, ge=1, le=65535, description="ISO-on-TCP port")
    rack: int = Field(default=0, ge=0, le=7, description="rack number of the CPU")
    slot: int = Field(
        default=1, ge=0, le=31, description="slot number of the CPU: S7-1200/1500 1, S7-300 2"
    )
    plc_db: int = Field(
        default=100, ge=1, le=65535, description="number of the data block that the PLC fills"
    )
    line_db: int = Field(
        default=101, ge=1, le=65535, description="number of the data block that the line fills"
    )

    @property
    def address(self) -> str:
        """Where it is, for people."""
        return f"{self.host}:{self.port}"

    @model_validator(mode="after")
    def _a_block_each(self) -> "S7GateSettings":
        if self.plc_db == self.line_db:
            raise ValueError("plc_db and line_db are the same data block")
        return self


class OpcUaGateSettings(GateSettings):
    """The line is an OPC UA server; the PLC is its client, and so may others be."""

    driver: Literal["opcua"] = Field(description="how the gate is driven")
    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=4840, ge=1, le=65535, description="OPC UA TCP port")
    certificate: ConfiguredPath | None = Field(
        default=None,
        description="the line's certificate (.der or .pem); with it only Basic256Sha256 is spoken",
    )
    private_key: ConfiguredPath | None = Field(
        default=None, description="the certificate's private key (.der or .pem)"
    )
    trusted_clients: ConfiguredPath | None = Field(
        default=None, description="folder of the certificates of the clients that are let in"
    )

    @property
    def address(self) -> str:
        """Where it is, for people."""
        return f"opc.tcp://{self.host}:{self.port}"

    @model_validator(mode="after")
    def _secured_wholly_or_not_at_all(self) -> "OpcUaGateSettings":
        files = (self.certificate, self.private_key, self.trusted_clients)
        if any(files) and not all(files):
            raise ValueError("certificate, private_key and trusted_clients belong together")
        return self


class DirectGateSettings(GateSettings):
    """No PLC: the line runs the gate's program itself (docs/plc.md, "Without a PLC")."""

    scan_ms: float = Field(default=2.0, gt=0, le=10, description="time between two scans, ms")
    late_ms: float = Field(
        default=10.0,
        gt=0,
        le=50,
        description="a scan later than this after the one before makes the count begin anew, and a pass "
        "outlives the scan that gave it by no more, ms",
    )
    reach_ms: float = Field(
        default=30.0,
        gt=0,
        description="the diverter stands for a part so long before and after, ms",
    )
    margin_ms: float = Field(
        default=20.0, ge=0, description="the decision falls this long before that, ms"
    )
    heartbeat_ms: float = Field(
        default=300.0, gt=0, description="inspection is taken for dead after this silence, ms"
    )


class GpioGateSettings(DirectGateSettings):
    """Photo-eye and diverter are wired to GPIO lines of this machine."""

    driver: Literal["gpio"] = Field(description="how the gate is driven")
    chip: str = Field(default="/dev/gpiochip0", description="the GPIO chip's device (gpiodetect)")
    diverter_line: int | str = Field(
        description="offset or name of the output line: high lets parts pass"
    )
    photo_eye_line: int | str | None = Field(
        default=None, description="offset or name of the photo-eye's input line; none in free run"
    )
    photo_eye_active_low: bool = Field(
        default=False, description="the line is low while a part breaks the beam"
    )
    drive_line: int | str | None = Field(
        default=None,
        description="offset or name of the input that is high while the belt's drive runs; needed where the "
        "belt may stop with parts on it",
    )
    debounce_ms: float = Field(
        default=1.0, ge=0, description="the photo-eye's level counts once it stood so long, ms"
    )

    @property
    def address(self) -> str:
        """Where it is, for people."""
        return f"{self.chip} line {self.diverter_line}"


class CameraGateSettings(DirectGateSettings):
    """The diverter is wired to an output line of the camera, which ends each pass with a timer of its own.

    In free run only: where a photo-eye counts, it is this machine that must see it (driver ``gpio``).
    """

    driver: Literal["camera"] = Field(description="how the gate is driven")
    output_line: str = Field(
        default="Line1", description="camera output that the diverter is wired to: high lets pass"
    )
    timer: str = Field(default="Timer0", description="entry of TimerSelector that makes the pulse")
    timer_signal: str = Field(
        default="SoftwareSignal0",
        description="entry of SoftwareSignalSelector and TimerTriggerSource that starts it",
    )

    @property
    def address(self) -> str:
        """Where it is, for people."""
        return f"the camera's {self.output_line}"


PlcGateSettings = ModbusGateSettings | ModbusServerGateSettings | S7GateSettings | OpcUaGateSettings
"""Where a PLC is."""


def _driver(gate: object) -> str:
    """Which driver's settings these are; one that is not named is Modbus."""
    named = gate.get("driver") if isinstance(gate, dict) else getattr(gate, "driver", None)
    return str(named or "modbus")


LaneGateSettings = Annotated[
    Annotated[ModbusGateSettings, Tag("modbus")]
    | Annotated[ModbusServerGateSettings, Tag("modbus_server")]
    | Annotated[S7GateSettings, Tag("s7")]
    | Annotated[OpcUaGateSettings, Tag("opcua")]
    | Annotated[GpioGateSettings, Tag("gpio")]
    | Annotated[CameraGateSettings, Tag("camera")],
    Discriminator(_driver),
]
"""The settings of a lane's gate, by its ``driver``."""
