"""The nano twins: real pipelines at a size that a laptop trains, shipped trained, with everything that made them.

`klein/`, `zimage_base/` and `zimage_turbo/` are ordinary diffusers folders. The commands of `python -m loralab.nano
--help` made them; docs/nano_klein.md and docs/nano_zimage.md tell how, with figures. Nothing here is used by training a
LoRA.
"""
