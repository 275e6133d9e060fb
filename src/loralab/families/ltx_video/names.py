"""Layer names of the vendor's own network, which ComfyUI and the vendor's tools read, and ours, which are diffusers'.

    diffusion_model.<vendor's module>.lora_A.weight, .lora_B.weight          no alpha: readers apply B @ A as it is

Inside the blocks the names are the same; outside them the first part of a name differs.
"""

from __future__ import annotations

from loralab.denoiser import ForeignNames

EXPORT_PREFIX = "diffusion_model."
VENDOR = {
    "proj_in": "patchify_proj",
    "audio_proj_in": "audio_patchify_proj",
    "time_embed": "adaln_single",
    "audio_time_embed": "audio_adaln_single",
    "prompt_adaln": "prompt_adaln_single",
    "audio_prompt_adaln": "audio_prompt_adaln_single",
    "av_cross_attn_video_scale_shift": "av_ca_video_scale_shift_adaln_single",
    "av_cross_attn_video_a2v_gate": "av_ca_a2v_gate_adaln_single",
    "av_cross_attn_audio_scale_shift": "av_ca_audio_scale_shift_adaln_single",
    "av_cross_attn_audio_v2a_gate": "av_ca_v2a_gate_adaln_single",
}
"""Our first part of a name -> the vendor's, where they differ."""
FOREIGN_NAMES = ForeignNames(
    renamed={
        **{
            rf"{vendor}\.(.+)": rf"{ours}.\1"
            for ours, vendor in VENDOR.items()
            if not ours.endswith("proj_in")
        },
        **{vendor: ours for ours, vendor in VENDOR.items() if ours.endswith("proj_in")},
    }
)
"""For reading files of other tools; kohya's `_` for every `.` is understood as well."""


def vendor_name(name: str) -> str:
    """Gives the vendor's name of a layer, or of one of its tensors, by ours."""
    first, dot, rest = name.partition(".")
    return VENDOR.get(first, first) + dot + rest
