import re
import shutil
from pathlib import Path

import pytest
import yaml

from inspector.config import LineSettings, as_yaml, load_line
from inspector.config.gates import (
    GpioGateSettings,
    ModbusGateSettings,
    ModbusServerGateSettings,
    OpcUaGateSettings,
    S7GateSettings,
)
from inspector.core.errors import ConfigurationError
from inspector.gate.registers import LINE_TO_PLC_SIZE, PLC_TO_LINE_SIZE

ROOT = Path(__file__).parents[2]
CAMERA = {"producer": "camera.cti"}
LANE = {"name": "lane-1", "recipe": "calibration/type-01", "camera": CAMERA}


def written(folder: Path, document: object) -> Path:
    path = folder / "line.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def refusal(folder: Path, document: object) -> str:
    """What is said of a configuration that cannot be used, in one line."""
    with pytest.raises(ConfigurationError) as caught:
        load_line(written(folder, document))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_example_for_a_real_triton_is_a_valid_line() -> None:
    line = load_line(ROOT / "deploy" / "line.example.yaml")
    assert line.lanes[0].camera.pixel_format == "BayerRG8"


def test_the_example_copied_as_the_readme_says_finds_recipe_and_networks(tmp_path: Path) -> None:
    copied = re.search(r"^cp (\S+) (\S+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert copied is not None
    example, target = copied.groups()
    for folder in ("models", "calibration"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    (tmp_path / target).parent.mkdir(exist_ok=True)
    shutil.copy(ROOT / example, tmp_path / target)
    line = load_line(tmp_path / target)
    assert (line.models / "background.onnx").is_file()
    assert (line.lanes[0].recipe / "recipe.json").is_file()


def test_what_is_handed_on_of_a_line_says_the_same_in_another_folder(tmp_path: Path) -> None:
    features = {"Zoom": 2, "Iris": "wide"}
    lane = LANE | {"camera": CAMERA | {"serial": "231500123", "node_values": features}}
    for document in (
        {"lanes": [lane | {"jobs": {3: "type-03"}}]},
        {"lanes": [LANE], "models": "m"},
    ):
        line = load_line(written(tmp_path, document))
        other = tmp_path / "elsewhere" / "line.yaml"
        other.parent.mkdir(exist_ok=True)
        other.write_text(as_yaml(line), encoding="utf-8")
        again = load_line(other)
        assert again == line
        camera, before = again.lanes[0].camera, line.lanes[0].camera
        # What nobody asked for is only preferred, and features are set in their order.
        assert camera.model_fields_set == before.model_fields_set
        assert list(camera.node_values) == list(before.node_values)


def test_a_line_needs_no_more_than_a_camera_and_a_recipe(tmp_path: Path) -> None:
    line = load_line(written(tmp_path, {"lanes": [LANE]}))
    assert line.lanes[0].camera.trigger == "hardware"


def test_relative_paths_are_taken_from_the_files_own_folder(tmp_path: Path) -> None:
    line = load_line(written(tmp_path, {"lanes": [LANE]}))
    assert line.lanes[0].recipe == tmp_path / "calibration/type-01"
    assert line.lanes[0].camera.producer == tmp_path / "camera.cti"
    assert line.models == tmp_path / "models"
    line = load_line(written(tmp_path, {"lanes": [LANE | {"jobs": {3: "recipes/type-03"}}]}))
    assert line.lanes[0].jobs == {3: tmp_path / "recipes/type-03"}


def test_an_environment_variable_stands_for_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRODUCER", "/opt/maker/camera.cti")
    lane = LANE | {"camera": {"producer": "${PRODUCER}"}}
    line = load_line(written(tmp_path, {"lanes": [lane]}))
    assert line.lanes[0].camera.producer == Path("/opt/maker/camera.cti")


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"lanes": [LANE], "colour": "blue"}, "colour: no such key"),
        (
            {"lanes": [LANE | {"camera": {"producer": "x", "exposure": 5}}]},
            "lanes.0.camera.exposure",
        ),
        ({"lanes": [LANE | {"camera": {"producer": "x", "exposure_us": "long"}}]}, "exposure_us"),
        ({"lanes": [LANE | {"camera": {"producer": "${NOT_THERE}/x"}}]}, "NOT_THERE is not set"),
        ({"lanes": []}, "lanes"),
        ({"lanes": [LANE, LANE]}, "two lanes have the same name"),
        ({"lanes": [LANE, LANE | {"name": "lane-2"}]}, "same register block"),
        (
            {"lanes": [LANE, LANE | {"name": "lane-2", "gate": {"base_register": 100}}]},
            "two lanes have the same camera: name each lane's own as camera.serial",
        ),
        (
            {"lanes": [LANE | {"part": {"travel_ms": 100, "decide_before_ms": 200}}]},
            "decide_before_ms",
        ),
        ({"lanes": [LANE | {"part": {"belt_px_per_s": 0}}]}, "belt_px_per_s must not be 0"),
        (
            {
                "lanes": [LANE | {"camera": {"producer": "x", "trigger": "free_run"}}],
                "workers": 2,
            },
            "workers must be 1 with free_run",
        ),
        ({"lanes": [LANE | {"jobs": {0: "recipes/a"}}]}, "lanes.0.jobs"),
        ([], "the top level"),
        (None, "the top level: settings belong here, each by its name"),
        ({"lanes": [LANE], "name": 17}, "name: a text belongs here: put it into quotes"),
        ({"lanes": [LANE | {"recipe": "~nobody-here/x"}]}, "recipe: there is no user nobody-here"),
        ({"lanes": [LANE | {"part": {"travel_ms": float("inf")}}]}, "lanes.0.part.travel_ms"),
    ],
)
def test_a_mistake_is_named_in_one_line_with_its_key(
    tmp_path: Path, document: object, named: str
) -> None:
    assert named in refusal(tmp_path, document)


@pytest.mark.parametrize(
    ("document", "more"),
    [
        ({"lanes": [LANE | {"camera": {"producer": "x", "exposure_us": "long"}}]}, ""),
        ({"lanes": [LANE], "colour": "blue", "engine": "magic"}, "(and 1 more)"),
    ],
)
def test_only_mistakes_that_are_in_the_file_are_counted(
    tmp_path: Path, document: object, more: str
) -> None:
    said = refusal(tmp_path, document)
    assert ("(and" in said) == bool(more)
    assert more in said


TWICE = """\
lanes:
  - name: lane-1
    recipe: calibration/type-01
    camera: {producer: camera.cti}
    part:
      eye_error_ms: 26
      min_interval_ms: 150
    part:
      travel_ms: 1500
"""


def test_a_key_given_twice_is_a_mistake_and_not_the_end_of_what_the_first_said(
    tmp_path: Path,
) -> None:
    (tmp_path / "line.yaml").write_text(TWICE)
    with pytest.raises(ConfigurationError, match="at line 8: part is given twice"):
        load_line(tmp_path / "line.yaml")


def test_what_lanes_share_may_be_written_once_and_a_lane_may_differ(tmp_path: Path) -> None:
    document = """\
lanes:
  - &first
    name: lane-1
    recipe: calibration/type-01
    camera: {producer: camera.cti}
  - <<: *first
    name: lane-2
    camera: {producer: camera.cti, serial: "2"}
    gate: {base_register: 100}
"""
    (tmp_path / "line.yaml").write_text(document)
    line = load_line(tmp_path / "line.yaml")
    assert [lane.name for lane in line.lanes] == ["lane-1", "lane-2"]


def gates(*gates: dict[str, object]) -> dict[str, object]:
    """A document with a lane, and a camera, for each gate."""
    return {
        "lanes": [
            {**LANE, "name": f"lane-{n}", "camera": CAMERA | {"serial": f"{n}"}, "gate": gate}
            for n, gate in enumerate(gates)
        ]
    }


def test_a_gate_is_driven_by_modbus_unless_it_names_another_driver(tmp_path: Path) -> None:
    server = {"driver": "modbus_server", "port": 5020}
    line = load_line(written(tmp_path, gates({"host": "plc"}, server, {"driver": "s7"})))
    modbus, listening, s7 = (lane.gate for lane in line.lanes)
    assert isinstance(modbus, ModbusGateSettings)
    assert modbus.host == "plc"
    assert isinstance(listening, ModbusServerGateSettings)
    assert listening.port == 5020
    assert isinstance(s7, S7GateSettings)


@pytest.mark.parametrize(
    ("document", "named"),
    [
        (gates({"driver": "steam"}), "lanes.0.gate: there is no driver 'steam', but 'modbus', "),
        (gates({"driver": ["s7"]}), "lanes.0.gate: there is no driver"),
        (gates({"hots": "plc"}), "lanes.0.gate.hots: no such key"),
        (gates({"driver": "s7", "base_register": 5}), "lanes.0.gate.base_register: no such key"),
        (gates({"driver": "s7", "slot": "one"}), "lanes.0.gate.slot"),
        (gates({"driver": "s7", "plc_db": 5, "line_db": 5}), "are the same data block"),
        (gates({"driver": "s7"}, {"driver": "s7"}), "use the same data block"),
        (gates({"driver": "modbus_server"}, {"driver": "modbus_server"}), "same Modbus port"),
        (gates({"driver": "opcua"}, {"driver": "opcua"}), "same OPC UA port"),
        (gates({"driver": "opcua", "certificate": "own.der"}), "belong together"),
        (gates({}, {}), "same register block"),
        # What one lane writes would lie in the other's block, and the PLC be told that its copy is torn.
        (gates({}, {"base_register": 1}), "overlap: give their base_register 80 or more apart"),
        (
            gates({"base_register": 100}, {"base_register": 79}, {}),
            "overlap: give their base_register",
        ),
    ],
)
def test_a_mistake_about_a_gate_is_named_in_one_line_with_its_key(
    tmp_path: Path, document: object, named: str
) -> None:
    assert named in refusal(tmp_path, document)


def test_lanes_of_one_plc_may_have_blocks_side_by_side(tmp_path: Path) -> None:
    assert max(PLC_TO_LINE_SIZE, LINE_TO_PLC_SIZE) == 80
    load_line(written(tmp_path, gates({}, {"base_register": 80}, {"unit": 2, "base_register": 1})))


def test_certificates_are_taken_from_the_files_own_folder_too(tmp_path: Path) -> None:
    files = {"certificate": "own.der", "private_key": "own.pem", "trusted_clients": "/trusted"}
    (lane,) = load_line(written(tmp_path, gates({"driver": "opcua", **files}))).lanes
    assert isinstance(lane.gate, OpcUaGateSettings)
    assert lane.gate.certificate == tmp_path / "own.der"
    assert lane.gate.private_key == tmp_path / "own.pem"
    assert lane.gate.trusted_clients == Path("/trusted")


def gate(settings: dict[str, object], **lane: object) -> dict[str, object]:
    return {"lanes": [{**LANE, "gate": settings, **lane}]}


def test_a_gate_without_a_plc_has_wires(tmp_path: Path) -> None:
    wires = {"driver": "gpio", "diverter_line": 17, "photo_eye_line": "EYE"}
    gpio = load_line(written(tmp_path, gate(wires))).lanes[0].gate
    assert isinstance(gpio, GpioGateSettings)
    assert (gpio.diverter_line, gpio.photo_eye_line) == (17, "EYE")


WIRES = {"driver": "gpio", "diverter_line": 17, "photo_eye_line": 18}


@pytest.mark.parametrize(
    ("document", "named"),
    [
        (gate({"driver": "gpio"}), "diverter_line"),
        (gate(WIRES | {"host": "plc"}), "host: no such key"),
        (gate({"driver": "gpio", "diverter_line": 17}), "photo_eye_line is needed with"),
        (
            gate(WIRES, camera=CAMERA | {"trigger": "free_run"}),
            "photo_eye_line must be left out",
        ),
        (gate(WIRES, part={"decide_before_ms": 55}), "decide_before_ms must be at least 62"),
        (gate(WIRES | {"late_ms": 30}), "min_interval_ms must be at least 90"),
        (gate(WIRES | {"late_ms": 3}), "late_ms must be at least twice gate.scan_ms"),
        (gate(WIRES | {"timeout_ms": 9}), "gate.timeout_ms must be at least gate.late_ms"),
        (gate({"driver": "camera"}), "gate.driver camera needs camera.trigger free_run"),
        (
            gate({"driver": "camera", "reach_ms": 40}, camera=CAMERA | {"trigger": "free_run"}),
            "min_interval_ms must be at least 90",
        ),
        (gate(WIRES, part={"eye_error_ms": 1.5}), "eye_error_ms must be at least"),
        (gate(WIRES | {"photo_eye_line": 17}), "use the same GPIO line"),
    ],
)
def test_a_gate_without_a_plc_whose_times_or_wires_do_not_fit_is_named(
    tmp_path: Path, document: object, named: str
) -> None:
    assert named in refusal(tmp_path, document)


def test_a_file_that_is_not_there_or_no_yaml_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot read"):
        load_line(tmp_path / "none.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("lanes: [", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="not valid YAML at line 1"):
        load_line(broken)


@pytest.mark.parametrize("odd", ["[" * 3000, f"name: {'9' * 5000}"], ids=["deep", "long number"])
def test_what_python_cannot_read_is_no_yaml_either(tmp_path: Path, odd: str) -> None:
    (tmp_path / "line.yaml").write_text(odd)
    with pytest.raises(ConfigurationError, match="not valid YAML"):
        load_line(tmp_path / "line.yaml")


def test_every_setting_is_explained_to_who_writes_a_line(tmp_path: Path) -> None:
    explained = "".join(
        (ROOT / name).read_text() for name in ("deploy/line.example.yaml", "docs/plc.md")
    )
    words = set(re.findall(r"\w+", explained))
    schema = LineSettings.model_json_schema()
    fields = set(schema["properties"]).union(*(m["properties"] for m in schema["$defs"].values()))
    assert fields - words == set()


def test_what_the_example_leaves_out_is_what_holds_without_it() -> None:
    """Settings in comments of the form ``# key: value`` that are numbers say the defaults."""
    told = re.findall(
        r"^ *# +(\w+): +([\d.]+) +#", (ROOT / "deploy/line.example.yaml").read_text(), re.MULTILINE
    )
    schema = LineSettings.model_json_schema()
    said = [schema, schema["$defs"]["ModbusGateSettings"]]
    said += [m for name, m in schema["$defs"].items() if "Gate" not in name]
    defaults = {key: field.get("default") for m in said for key, field in m["properties"].items()}
    assert len(told) >= 6
    assert {key: float(value) for key, value in told} == {key: defaults[key] for key, _ in told}


def test_every_setting_describes_itself_and_names_its_unit() -> None:
    units = ("_ms", "_us", "_hz", "_db", "_mb", "_px", "_px_per_s", "_percent")
    schema = LineSettings.model_json_schema()
    for name, model in schema["$defs"].items():
        for field, said in model["properties"].items():
            if said.get("type") in {"number", "integer", "string"} and "$ref" not in said:
                assert "description" in said, f"{name}.{field} has no description"
            if said.get("type") == "number":
                assert field.endswith(units), f"{name}.{field} does not name its unit"
