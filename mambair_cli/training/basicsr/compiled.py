"""Operations that BasicSR compiles apart, or takes from torchvision: asked for before the first step needs them."""

from importlib import import_module

from torch import nn

from ...errors import MambairError

CUDA = "Set BASICSR_JIT=True on a machine with an NVIDIA card and CUDA's compiler."
FUSED = "basicsr.ops.fused_act.fused_act"
DEFORMABLE = "basicsr.ops.dcn.deform_conv"


def check(network: nn.Module) -> None:
    """Look whether all is here that a network of BasicSR computes with.

    Raises:
        MambairError: something is missing.
    """
    fused, deformable = import_module(FUSED), import_module(DEFORMABLE)
    for module in network.modules():
        if isinstance(module, fused.FusedLeakyReLU) and not hasattr(fused, "fused_act_ext"):
            raise _missing(network, "fused activation", CUDA)
        kind = deformable.ModulatedDeformConvPack
        if isinstance(module, kind) and not (hasattr(deformable, "deform_conv_ext") or _from_torchvision()):
            raise _missing(
                network, "deformable convolution", "Run pip install 'mambair[perceptual]'; torchvision has it."
            )


def _from_torchvision() -> bool:
    import torchvision  # or what stands in for it

    return hasattr(torchvision.ops, "deform_conv2d")


def _missing(network: nn.Module, operation: str, hint: str) -> MambairError:
    return MambairError(f"The network {type(network).__name__} computes with a {operation} that is not here.", hint)
