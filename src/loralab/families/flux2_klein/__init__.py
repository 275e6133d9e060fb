"""FLUX.2 Klein (Black Forest Labs): a transformer on packed tokens, Qwen3 prompts, patchified latents."""

from loralab.families.flux2_klein.denoiser import Flux2Klein

__all__ = ["Flux2Klein"]
