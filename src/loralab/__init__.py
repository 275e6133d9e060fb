"""loralab: which rank, which learning rate, how many steps, for this model and these pictures?"""

__version__ = "0.1.0"
