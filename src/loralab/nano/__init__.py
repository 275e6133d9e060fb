"""The nano twins: real pipelines at a size that a laptop trains, shipped trained, with everything that made them.

`klein/` is an ordinary diffusers folder. The commands of `python -m loralab.nano --help` made it; docs/nano_klein.md
tells how, with figures. Nothing here is used by training a LoRA.
"""
