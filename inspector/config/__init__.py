"""line.yaml → typed settings. Unknown keys are errors; every field says its unit."""

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator
from yaml.error import MarkedYAMLError

from inspector.config.base import ConfiguredPath, Settings
from inspector.config.gates import (
    BLOCK_REGISTERS,
    CameraGateSettings,
    DirectGateSettings,
    GpioGateSettings,
    LaneGateSettings,
    ModbusGateSettings,
    ModbusServerGateSettings,
    OpcUaGateSettings,
    S7GateSettings,
)
from inspector.core.errors import ConfigurationError

Trigger = Literal["hardware", "software", "free_run"]
"""What makes the camera expose."""


class CameraSettings(Settings):
    """One GenICam camera, reached through any GenTL producer."""

    producer: ConfiguredPath = Field(description="GenTL producer (.cti file) of the camera's maker")
    serial: str | None = Field(
        default=None, description="serial number; without one the only camera found is taken"
    )
    pixel_format: Literal[
        "BayerRG8", "BayerRG10", "BayerRG12", "BayerRG16", "Mono8", "RGB8", "RGBa8"
    ] = Field(default="BayerRG8", description="PFNC name of the pixel format to set")
    exposure_us: float | None = Field(
        default=None, gt=0, description="exposure time in µs; unset leaves the camera's own"
    )
    gain_db: float | None = Field(default=None, ge=0, description="gain in dB; unset leaves it")
    trigger: Trigger = Field(
        default="hardware",
        description="hardware: photo-eye wired to the camera; software: photo-eye read by the host; "
        "free_run: no photo-eye, every whole cup that crosses the picture is one part",
    )
    trigger_line: str = Field(default="Line0", description="camera input the photo-eye is wired to")
    frame_rate_hz: float = Field(default=20.0, gt=0, description="frames/s in free run")
    buffers: int = Field(default=8, ge=2, le=64, description="GenTL buffers announced")
    ring_slots: int = Field(default=12, ge=3, le=64, description="frames kept for inspection")
    silence_ms: int = Field(
        default=3000,
        gt=0,
        description="free run: a camera silent this long is opened anew, ms (one that does not answer "
        "is opened anew at once)",
    )
    node_values: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="further GenICam features to set, by name, in this order"
    )


class PartSettings(Settings):
    """Where parts are in time on one lane."""

    min_interval_ms: float = Field(
        default=70.0, gt=0, description="shortest time between two parts at the photo-eye, ms"
    )
    travel_ms: float = Field(
        default=1200.0, gt=0, description="photo-eye (free run: picture centre) to gate, ms"
    )
    decide_before_ms: float = Field(
        default=150.0, gt=0, description="the verdict must be out this long before the gate, ms"
    )
    frame_timeout_ms: float = Field(
        default=400.0, gt=0, description="trigger to frame at most, ms; then missing_frame"
    )
    eye_error_ms: float = Field(
        default=11.0,
        ge=0,
        description="a photo-eye time is late by so much at most, ms: the PLC's scan time and 1 ms",
    )
    belt_px_per_s: float = Field(
        default=7000.0,
        description="free run: speed of cups across the picture, px/s, + is rightward",
    )
    spacing_px: float = Field(
        default=1600.0, gt=0, description="free run: least distance between two cups' centres, px"
    )

    @model_validator(mode="after")
    def _deadline_after_trigger(self) -> "PartSettings":
        if self.belt_px_per_s == 0:
            raise ValueError("belt_px_per_s must not be 0: give the belt's speed in the picture")
        if self.decide_before_ms >= self.travel_ms:
            raise ValueError("decide_before_ms must be smaller than travel_ms")
        if self.min_interval_ms >= self.travel_ms - self.decide_before_ms:
            raise ValueError("min_interval_ms must be smaller than travel_ms - decide_before_ms")
        if self.min_interval_ms < 5 * self.eye_error_ms:
            raise ValueError(
                "min_interval_ms must be at least 5 times eye_error_ms, or frames of neighbours cannot be "
                "told apart: give parts more room or the PLC a shorter scan"
            )
        return self


class RejectAlarmSettings(Settings):
    """When so many rejects mean that the plant is ill."""

    in_a_row: int = Field(default=20, ge=2, description="rejects one after the other")
    share_percent: float = Field(
        default=50.0, gt=0, le=100, description="rejected share of the last parts, %"
    )
    of_parts: int = Field(
        default=100, ge=10, le=10_000, description="parts the share is counted over"
    )
    stop: bool = Field(
        default=False,
        description="while an alarm stands the line's state is FAULT: the PLC lets nothing pass, and may "
        "stop the belt",
    )


class LaneSettings(Settings):
    """One lane: a camera, a recipe and a gate."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9-]{0,31}$", description="name in records and metrics"
    )
    recipe: ConfiguredPath = Field(description="folder of the cup type's recipe")
    jobs: dict[Annotated[int, Field(ge=1, lt=65535)], ConfiguredPath] = Field(
        default={},
        description="folders of further recipes, by the job number with which the PLC asks for one",
    )
    camera: CameraSettings
    part: PartSettings = PartSettings()
    gate: LaneGateSettings = ModbusGateSettings()
    reject_alarm: RejectAlarmSettings = RejectAlarmSettings()

    @model_validator(mode="after")
    def _direct_gate_fits(self) -> "LaneSettings":
        gate, part = self.gate, self.part
        if not isinstance(gate, DirectGateSettings):
            return self
        needed_ms = gate.reach_ms + gate.margin_ms + gate.poll_ms + gate.scan_ms
        if part.decide_before_ms < needed_ms:
            raise ValueError(
                f"part.decide_before_ms must be at least {needed_ms:g}: the gate's reach, its margin, one "
                "poll and one scan"
            )
        if gate.late_ms < 2 * gate.scan_ms:
            raise ValueError("gate.late_ms must be at least twice gate.scan_ms")
        if gate.timeout_ms < gate.late_ms:
            raise ValueError(
                "gate.timeout_ms must be at least gate.late_ms: or commands are lost while the count goes on"
            )
        # A part may be reckoned so much too late, and the gate shut so much too late.
        apart_ms = gate.reach_ms + 2 * gate.late_ms
        if part.min_interval_ms < apart_ms:
            raise ValueError(
                f"part.min_interval_ms must be at least {apart_ms:g}, the gate's reach and twice late_ms: "
                "or the gate is still open for a part's neighbour"
            )
        return self

    @model_validator(mode="after")
    def _camera_gate_fits(self) -> "LaneSettings":
        gate = self.gate
        if not isinstance(gate, CameraGateSettings):
            return self
        if self.camera.trigger != "free_run":
            raise ValueError(
                "gate.driver camera needs camera.trigger free_run: where a photo-eye counts, use gpio"
            )
        # A pass is asked for once: the next one is begun only if a scan between the two has ended it.
        apart_ms = 2 * gate.reach_ms + gate.late_ms
        if self.part.min_interval_ms < apart_ms:
            raise ValueError(
                f"part.min_interval_ms must be at least {apart_ms:g}, twice the gate's reach and late_ms: or "
                "a part close behind one that passes is rejected"
            )
        return self

    @model_validator(mode="after")
    def _gpio_gate_fits(self) -> "LaneSettings":
        if not isinstance(self.gate, GpioGateSettings):
            return self
        free_run = self.camera.trigger == "free_run"
        if free_run != (self.gate.photo_eye_line is None):
            raise ValueError(
                "gate.photo_eye_line must be left out: no photo-eye counts in free_run"
                if free_run
                else f"gate.photo_eye_line is needed with camera.trigger {self.camera.trigger}: "
                "the photo-eye counts the parts"
            )
        if self.part.eye_error_ms < self.gate.debounce_ms + 1:
            raise ValueError("part.eye_error_ms must be at least gate.debounce_ms and 1 ms more")
        return self


class RecordsSettings(Settings):
    """The ledger and the picture archive."""

    directory: ConfiguredPath = Field(
        default=Path("/var/lib/inspector"), description="ledger and pictures; survives restarts"
    )
    rows_mb: int = Field(
        default=10_000,
        ge=500,
        description="rows of parts kept, MB; the oldest go first. 10000 are 20 million: four months at two "
        "parts a second, two weeks at fourteen",
    )
    pictures_mb: int = Field(
        default=2000, ge=0, description="pictures of rejects kept, MB; the oldest go first"
    )
    keep_free_mb: int = Field(
        default=500, ge=0, description="pictures go first when the disk has less than this free, MB"
    )


class PageSettings(Settings):
    """The operators' page."""

    enabled: bool = Field(default=True, description="needs the extra 'hmi'")
    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=8080, ge=0, le=65535, description="port; 0 takes any free one")


class MetricsSettings(Settings):
    """The Prometheus end point."""

    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=9108, ge=0, le=65535, description="port; 0 takes any free one")


EngineName = Literal["auto", "tensorrt", "onnxruntime-cuda", "onnxruntime", "openvino"]


class LineSettings(Settings):
    """A whole line."""

    name: str = Field(default="line-1", description="shown on the page and in every log line")
    lanes: tuple[LaneSettings, ...] = Field(description="the line's lanes, one at least")
    records: RecordsSettings = RecordsSettings()
    page: PageSettings = PageSettings()
    metrics: MetricsSettings = MetricsSettings()
    models: ConfiguredPath = Field(
        default="models",
        validate_default=True,
        description="folder of the networks the recipes name",
    )
    engine: EngineName = Field(
        default="auto",
        description="what runs the networks; auto: the fastest that is installed and agrees with the "
        "recipe's golden images; only with auto another takes over when it fails",
    )
    threads: int = Field(default=1, ge=1, le=64, description="CPU threads a network may use")
    workers: int = Field(
        default=1,
        ge=1,
        le=64,
        description="parts looked at side by side, each with `threads`, and if there are several each with a "
        "process that finds its cups",
    )
    batch_slack_ms: float = Field(
        default=0.0,
        ge=0,
        le=100,
        description="on a GPU with several `workers`: how long a part may wait for others, to be compared "
        "together; 0: only while the GPU is busy anyway",
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @model_validator(mode="after")
    def _in_order(self) -> "LineSettings":
        if self.workers > 1 and any(lane.camera.trigger == "free_run" for lane in self.lanes):
            raise ValueError(
                "workers must be 1 with free_run: its frames are searched in their order"
            )
        return self

    @model_validator(mode="after")
    def _distinct_lanes(self) -> "LineSettings":
        # A least length of the field would count each lane with a mistake as missing, too.
        if not self.lanes:
            raise ValueError("lanes must hold one lane at least")
        gates = [lane.gate for lane in self.lanes]
        blocks = [
            (g.host, g.port, g.unit, g.base_register)
            for g in gates
            if isinstance(g, ModbusGateSettings)
        ]
        data_blocks = [
            (g.host, g.port, g.rack, g.slot, db)
            for g in gates
            if isinstance(g, S7GateSettings)
            for db in (g.plc_db, g.line_db)
        ]
        wires = [
            (g.chip, str(line))
            for g in gates
            if isinstance(g, GpioGateSettings)
            for line in (g.diverter_line, g.photo_eye_line, g.drive_line)
            if line is not None
        ]
        for what, each in (
            ("two lanes have the same name", [lane.name for lane in self.lanes]),
            ("two lanes use the same register block of one PLC", blocks),
            (
                "two lanes use the same Modbus port: each has a server of its own",
                [g.port for g in gates if isinstance(g, ModbusServerGateSettings)],
            ),
            ("two lanes use the same data block of one PLC", data_blocks),
            (
                "two lanes use the same OPC UA port: each has a server of its own",
                [g.port for g in gates if isinstance(g, OpcUaGateSettings)],
            ),
            ("two lanes, or two wires of one, use the same GPIO line", wires),
            (
                "two lanes have the same camera: name each lane's own as camera.serial",
                [(lane.camera.producer, lane.camera.serial) for lane in self.lanes],
            ),
        ):
            if len(set(each)) != len(each):
                raise ValueError(what)
        in_order = sorted(blocks)
        if any(a[:3] == b[:3] and b[3] - a[3] < BLOCK_REGISTERS for a, b in pairwise(in_order)):
            raise ValueError(
                "the register blocks of two lanes of one PLC overlap: give their base_register "
                f"{BLOCK_REGISTERS} or more apart"
            )
        return self


_PLAINLY = {
    "extra_forbidden": "no such key",
    "missing": "it is missing",
    "model_type": "settings belong here, each by its name",
    "string_type": "a text belongs here: put it into quotes",
}
"""What mistakes are called, by pydantic's name, where its own words are a programmer's."""


class _Loader(yaml.SafeLoader):
    """No key is given twice: the second would silently take back all that the first said."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise MarkedYAMLError(
                    problem=f"{key.value} is given twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return node


def load_line(path: Path) -> LineSettings:
    """Read a line's configuration; relative paths are taken from the file's own folder.

    Raises:
        ConfigurationError: the file cannot be read, is no YAML, or holds a wrong key, unit or value;
            the message names the key.
    """
    try:
        raw = _Loader(path.read_text(encoding="utf-8")).get_single_data()
    except OSError as error:
        raise ConfigurationError(
            f"cannot read the configuration {path}: {error.strerror}",
            "give the path of an existing file, e.g. deploy/line.example.yaml",
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        where = ""
        if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
            where = f" at line {error.problem_mark.line + 1}: {error.problem}"
        raise ConfigurationError(
            f"{path} is not valid YAML{where}", "mend the file; deploy/line.example.yaml is a model"
        ) from error
    try:
        return LineSettings.model_validate(raw, context={"folder": path.resolve().parent})
    except ValidationError as error:
        first = error.errors()[0]
        key = _key(first["loc"]) or "the top level"
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        what = _PLAINLY.get(first["type"], first["msg"].removeprefix("Value error, "))
        if first["type"] == "union_tag_invalid":
            named, known = first["ctx"]["tag"], first["ctx"]["expected_tags"]
            what = f"there is no driver '{named}', but {known}"
        raise ConfigurationError(
            f"{path}: {key}: {what}{more}", "mend this key; deploy/line.example.yaml explains each"
        ) from error


def as_yaml(line: LineSettings) -> str:
    """The content of a file of which :func:`load_line` makes the same settings, wherever it lies."""
    said = line.model_dump(mode="json", exclude_unset=True)
    # Where nothing is said, it is beside the file that was read.
    return yaml.safe_dump(said | {"models": str(line.models)}, sort_keys=False)


def _key(steps: tuple[int | str, ...]) -> str:
    """A setting's place as it is in the file, where the driver's name is no step on the way."""
    gate = 3  # lanes, which, gate, driver
    within_gate = steps[:1] == ("lanes",) and steps[2:gate] == ("gate",)
    return ".".join(str(s) for at, s in enumerate(steps) if not (within_gate and at == gate))
