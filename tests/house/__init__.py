"""Measurements of this project's source (``python -m tests.house.measure_house``) and the checks that hold them."""
