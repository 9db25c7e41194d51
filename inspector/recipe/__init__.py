"""What a cup type is: networks, calibration, thresholds and golden images, versioned and hashed."""

from inspector.recipe.recipe import Recipe, load_recipe, write_recipe
from inspector.recipe.teacher import Teacher, teacher_path
from inspector.recipe.view import network_view

__all__ = ["Recipe", "Teacher", "load_recipe", "network_view", "teacher_path", "write_recipe"]
