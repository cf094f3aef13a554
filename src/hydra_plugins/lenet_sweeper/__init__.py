"""Hydra finds sweepers in packages of this name; there must be no __init__.py in the folder above."""
