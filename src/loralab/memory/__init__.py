"""What the frozen base costs: precision, checkpointing, compilation, and what was used in the end."""

from loralab.memory.device import pick_device
from loralab.memory.peak import peak_memory_gib
from loralab.memory.policy import MemoryPolicy

__all__ = ["MemoryPolicy", "peak_memory_gib", "pick_device"]
