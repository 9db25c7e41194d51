"""The method in torch: networks, loss, training, calibration, evaluation, export."""
