"""nano_ltx: LTX-Video 2.3 at a size that fits in the repository, trained on emoji in motion with a tone."""
