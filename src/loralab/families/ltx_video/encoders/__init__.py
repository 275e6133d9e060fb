"""What LTX-Video makes of prompts, clips and sound before the transformer sees them, and how it makes them back.

Each network is loaded, used and freed by itself; nothing here knows the transformer.
"""
