"""The simulated plant: conveyor, cups, camera and PLC. Nothing of the line imports it."""
