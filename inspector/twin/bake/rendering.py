"""The rig of the paper's Figure 1 as a Mitsuba scene, and its half frames.

Camera 30 cm over an 11 cm cup; two round 220 mm lamps left and right; a white table, diffuse walls. The rig
is the same above and below its long axis, so only the upper half of the frame is rendered, and only under
the left lamp: the right one's light is its mirror image.
"""

from pathlib import Path
from typing import Any, Final

import mitsuba as mi
import numpy as np
from numpy.typing import NDArray

from inspector.twin.bake.shapes import CupShape, Mesh
from inspector.twin.cups.arrays import Floats, floats
from inspector.twin.cups.camera import (
    CAMERA_HEIGHT_CM,
    FOCAL_LENGTH_PX,
    FRAME_HEIGHT,
    FRAME_WIDTH,
)

_LAMP_RADIUS: Final = 11.0
_LAMP_PLACE: Final = (19.0, 24.0)
"""Sideways and up."""
_LAMP_TILT_DEG: Final = 42.0
_LAMP_COLOUR: Final = (0.97, 1.0, 1.03)
_DEPTH: Final = 12
_DEPTH_OF_GLOSS: Final = 4
"""A black cup scatters nothing, so its light ends after a few mirrors."""

Node = dict[str, Any]


def choose_processor() -> None:
    """Renders on the processor; call it once before anything else here.

    Raises:
        ImportError: Mitsuba finds no LLVM; its message names the variable to set.
    """
    mi.set_variant("llvm_ad_rgb")


def half_frame(
    shape: CupShape, mesh: Mesh, folder: Path, *, black: bool, samples: int, seed: int
) -> Floats:
    """The upper half of the frame under the left lamp.

    Args:
        shape: of the cup; its material counts here.
        mesh: its surface.
        folder: for the mesh file that Mitsuba reads.
        black: renders the cup black: what is left is the light that its surface mirrors.
        samples: rays a pixel.
        seed: of the rays.

    Returns:
        FRAME_HEIGHT/2×FRAME_WIDTH×3 float32 linear RGB radiance, noisy.
    """
    place = folder / "cup.ply"
    _write_mesh(mesh, place)
    scene = mi.load_dict(_scene(shape, place, black=black))
    return floats(np.array(mi.render(scene, spp=samples, seed=seed)))


def _write_mesh(mesh: Mesh, place: Path) -> None:
    made = mi.Mesh("cup", len(mesh.vertices), len(mesh.faces), has_vertex_normals=True)
    parameters = mi.traverse(made)
    parameters["vertex_positions"] = mesh.vertices.ravel()
    parameters["vertex_normals"] = mesh.normals.ravel()
    parameters["faces"] = mesh.faces.ravel()
    parameters.update()
    made.write_ply(str(place))


def _scene(shape: CupShape, cup: Path, *, black: bool) -> Node:
    to = mi.ScalarTransform4f
    walls = {
        "north": to().translate([0, 26, 25]) @ to().rotate([1, 0, 0], 90),
        "south": to().translate([0, -26, 25]) @ to().rotate([1, 0, 0], -90),
        "east": to().translate([38, 0, 25]) @ to().rotate([0, 1, 0], -90),
        "west": to().translate([-38, 0, 25]) @ to().rotate([0, 1, 0], 90),
    }
    facing_down = to().rotate([1, 0, 0], 180)
    return {
        "type": "scene",
        "integrator": {"type": "path", "max_depth": _DEPTH_OF_GLOSS if black else _DEPTH},
        "sensor": _camera(),
        "table": {
            "type": "rectangle",
            "to_world": to().scale(60),
            "bsdf": _matt(0.74, 0.74, 0.73)["paint"],
        },
        **{
            name: {
                "type": "rectangle",
                "to_world": place @ to().scale(45),
                "bsdf": _matt(0.66, 0.66, 0.65),
            }
            for name, place in walls.items()
        },
        "ceiling": {
            "type": "rectangle",
            "to_world": to().translate([0, 0, 52]) @ facing_down @ to().scale(60),
            "bsdf": _matt(0.22, 0.22, 0.22),
        },
        "lens": {
            "type": "disk",
            "to_world": to().translate([0, 0, CAMERA_HEIGHT_CM + 0.8])
            @ facing_down
            @ to().scale(3),
            "bsdf": _matt(0.03, 0.03, 0.03),
        },
        "left_lamp": {
            **_lamp(-1),
            "emitter": {"type": "area", "radiance": _rgb(*_LAMP_COLOUR)},
        },
        # Unlit, but it still reflects; or the light of both lamps would not be the sum of each alone.
        "right_lamp": _lamp(1),
        "cup": {"type": "ply", "filename": str(cup), "bsdf": _plastic(shape, black=black)},
    }


def _camera() -> Node:
    film = {
        "type": "hdrfilm",
        "width": FRAME_WIDTH,
        "height": FRAME_HEIGHT,
        "crop_width": FRAME_WIDTH,
        "crop_height": FRAME_HEIGHT // 2,
        "rfilter": {"type": "box"},
        "pixel_format": "rgb",
        "component_format": "float32",
    }
    return {
        "type": "perspective",
        "fov": float(2 * np.degrees(np.arctan(FRAME_WIDTH / 2 / FOCAL_LENGTH_PX))),
        "fov_axis": "x",
        "near_clip": 1.0,
        "far_clip": 200.0,
        "to_world": mi.ScalarTransform4f().look_at(
            origin=[0, 0, CAMERA_HEIGHT_CM], target=[0, 0, 0], up=[0, 1, 0]
        ),
        "film": film,
        "sampler": {"type": "independent"},
    }


def _lamp(side: int) -> Node:
    to = mi.ScalarTransform4f
    aside, up = _LAMP_PLACE
    place = to().translate([side * aside, 0, up])
    tilt = to().rotate([0, 1, 0], -side * (90 + _LAMP_TILT_DEG))
    return {
        "type": "disk",
        "to_world": place @ tilt @ to().scale(_LAMP_RADIUS),
        "bsdf": _matt(0.8, 0.8, 0.8),
    }


def _plastic(shape: CupShape, *, black: bool) -> Node:
    """A glossy scatterer, and beside it a thin sheet that lets light through."""
    colour = (0.0, 0.0, 0.0) if black else shape.colour
    # Light that comes through the sheet has met its colour on both faces; one face shows its root.
    through: NDArray[np.float64] = np.sqrt(np.array(colour))
    return {
        "type": "blendbsdf",
        "weight": shape.translucency,
        "face": {
            "type": "twosided",
            "gloss": {
                "type": "roughplastic",
                "distribution": "ggx",
                "diffuse_reflectance": _rgb(*colour),
                "alpha": shape.roughness,
                "int_ior": shape.refraction,
                "nonlinear": True,
            },
        },
        "sheet": {
            "type": "principledthin",
            "base_color": _rgb(*through.tolist()),
            "roughness": 0.6,
            "spec_trans": 0.0,
            "diff_trans": 2.0,
        },
    }


def _matt(red: float, green: float, blue: float) -> Node:
    return {
        "type": "twosided",
        "paint": {"type": "diffuse", "reflectance": _rgb(red, green, blue)},
    }


def _rgb(red: float, green: float, blue: float) -> Node:
    return {"type": "rgb", "value": [red, green, blue]}
