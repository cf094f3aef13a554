"""Hydra finds launchers in packages of this name."""
