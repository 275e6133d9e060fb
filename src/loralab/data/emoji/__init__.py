"""Emoji with names: pictures drawn exactly from captions, and looks whose true answer is known to the pixel."""
