"""Low-rank adapters: added to a transformer, measured, written as one portable file and read from many."""

from loralab.adapter.ema import Ema
from loralab.adapter.export import annotated, export_adapter
from loralab.adapter.load import AttachedAdapter, attach, attached, detach
from loralab.adapter.lora import LoraSpec, adapter_parameters, disabled, inject
from loralab.adapter.metadata import AdapterMetadata, read_metadata
from loralab.adapter.norms import all_finite, require_change, update_norms
from loralab.adapter.state import adapter_state, load_adapter_state, with_state

__all__ = [
    "AdapterMetadata",
    "AttachedAdapter",
    "Ema",
    "LoraSpec",
    "adapter_parameters",
    "adapter_state",
    "all_finite",
    "annotated",
    "attach",
    "attached",
    "detach",
    "disabled",
    "export_adapter",
    "inject",
    "load_adapter_state",
    "read_metadata",
    "require_change",
    "update_norms",
    "with_state",
]
