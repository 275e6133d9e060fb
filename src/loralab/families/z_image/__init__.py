"""Z-Image (Tongyi-MAI): one stream of pictures and prompts, told 1 - sigma, answering -velocity."""

from loralab.families.z_image.denoiser import ZImage

__all__ = ["ZImage"]
