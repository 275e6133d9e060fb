"""Emoji in motion with a tone that follows them: clips drawn exactly from their description, on any device."""

from loralab.data.moving.scene import FPS, FRAMES, SIDE, Scene, draw_scene
from loralab.data.moving.source import MovingSource

__all__ = ["FPS", "FRAMES", "SIDE", "MovingSource", "Scene", "draw_scene"]
