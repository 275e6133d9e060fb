"""Architectures, a folder each: a `Denoiser` that translates one network's own conventions into the house's.

Nobody imports a family; `conf/model/*.yaml` names one. Families do not know each other and share only the
helpers in `shared`.
"""
