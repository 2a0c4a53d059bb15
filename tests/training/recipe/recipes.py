"""A complete small recipe in BasicSR's layout, and ways to spoil it."""

from pathlib import Path

BASE = """\
name: tiny
model_type: SRModel
scale: 2
num_gpu: 0
manual_seed: 10

datasets:
  train:
    name: photos
    type: PairedImageDataset
    dataroot_gt: photos/HR
    dataroot_lq: photos/LR
    filename_tmpl: '{}x2'
    io_backend:
      type: disk
    gt_size: 96
    use_hflip: true
    use_rot: true
    use_shuffle: true
    num_worker_per_gpu: 2
    batch_size_per_gpu: 4
    dataset_enlarge_ratio: 100
    prefetch_mode: ~

network_g:
  type: MambaIR
  upscale: 2
  embed_dim: 60
  depths: [2, 2]
  upsampler: pixelshuffledirect

path:
  pretrain_network_g: ~
  strict_load_g: true
  resume_state: ~

train:
  total_iter: 500
  warmup_iter: -1
  ema_decay: 0.999
  optim_g:
    type: Adam
    lr: !!float 2e-4
    weight_decay: 0
    betas: [0.9, 0.99]
  scheduler:
    type: MultiStepLR
    milestones: [250, 400]
    gamma: 0.5
  pixel_opt:
    type: L1Loss
    loss_weight: 1.0
    reduction: mean

logger:
  print_freq: 100
  save_checkpoint_freq: !!float 5e3
  use_tb_logger: false
"""


def write(folder: Path, text: str = BASE) -> Path:
    """The text as a recipe file."""
    path = folder / "r.yml"
    path.write_text(text, encoding="utf-8")
    return path


def broken(*changes: tuple[str, str]) -> str:
    """The recipe with texts replaced; each must be there once."""
    text = BASE
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text
