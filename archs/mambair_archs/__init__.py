"""Networks of the MambaIR family: torch modules whose weights are those of the published checkpoints."""

from .descriptor import Descriptor
from .mair import MaIR
from .mambair import MambaIR
from .mambair_dehaze import MambaIRDehaze
from .mambair_nano import MambaIRNano
from .mambair_nano_unet import MambaIRNanoUNet
from .mambair_unet import MambaIRUNet
from .mambairv2 import MambaIRv2, MambaIRv2Light
from .registry import ARCHITECTURES, Architecture, Identified, UnknownWeightsError, identify
from .tpmambasr import T_PMambaSR

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "Descriptor",
    "Identified",
    "MaIR",
    "MambaIR",
    "MambaIRDehaze",
    "MambaIRNano",
    "MambaIRNanoUNet",
    "MambaIRUNet",
    "MambaIRv2",
    "MambaIRv2Light",
    "T_PMambaSR",
    "UnknownWeightsError",
    "identify",
]
