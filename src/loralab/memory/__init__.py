"""What the frozen base costs: how it is held, recomputed, compiled and kept elsewhere, and what was used in the end."""

from loralab.memory.compiling import num_graphs
from loralab.memory.device import pick_device
from loralab.memory.peak import peak_memory_gib
from loralab.memory.placement import Placement
from loralab.memory.policy import MemoryPolicy

__all__ = ["MemoryPolicy", "Placement", "num_graphs", "peak_memory_gib", "pick_device"]
