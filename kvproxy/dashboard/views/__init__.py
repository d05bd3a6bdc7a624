"""Frozen values that the templates show, made by pure functions from the figures of the product."""
