"""The recipe: every key, its type and its meaning."""

from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter

from ...declaration import Above0, Count, Counts, Names, Numbers, OneOf, Positive, Probability, Section, whole
from ..basicsr import signatures
from . import components
from .datasets import Dataset

OWN_MODEL = "MambaIRModel"
"""BasicSR's SRModel with tiled validation and what ``train`` takes beyond BasicSR."""

PLAIN_MODELS = (OWN_MODEL, "SRModel", "SwinIRModel")
"""Models whose every option is known here; the other ones of BasicSR read more."""

Model = Annotated[str, Names((OWN_MODEL, *(signatures.registered("models") or PLAIN_MODELS[1:])))]
Network = Annotated[Any, OneOf(components.networks)]
Loss = Annotated[Any, OneOf(components.losses)]
Metric = Annotated[Any, OneOf(components.metrics)]
Optimizer = Annotated[Any, OneOf(components.optimizers)]
Share = Annotated[float, Field(ge=0, lt=1)]


class MultiStepRestartLR(Section):
    """The learning rate is multiplied by gamma at each milestone."""

    type: Literal["MultiStepLR", "MultiStepRestartLR"]

    milestones: Counts
    """Steps at which the learning rate falls, rising numbers up to total_iter."""

    gamma: Above0 = 0.1
    """Factor at a milestone."""

    restarts: Counts = Field([0])
    """Steps at which the learning rate starts again."""

    restart_weights: Numbers = Field([1])
    """Factor of the first learning rate at each restart."""


class CosineAnnealingRestartLR(Section):
    """The learning rate falls along half a cosine in each period."""

    type: Literal["CosineAnnealingRestartLR"]

    periods: Annotated[list[Positive], Field(min_length=1)]
    """Steps of each period; together at least total_iter."""

    restart_weights: Numbers = Field([1])
    """Factor of the learning rate in each period."""

    eta_min: Annotated[float, Field(ge=0)] = 0
    """Learning rate at the end of a period."""


def _schedulers() -> tuple[type[Section], ...]:
    return (MultiStepRestartLR, CosineAnnealingRestartLR, *components.torch_schedulers())


Scheduler = Annotated[Any, OneOf(_schedulers)]


class Procedure(Section):
    """A section in which models of BasicSR other than the plain ones read more; see :func:`messages.mistakes`."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"additionalProperties": False})


class NanGuard(Section):
    """What happens when the loss is not a number."""

    max_skipped: Count = 20
    """Steps in a row that may be left out before training stops."""


class Mixup(Section):
    """Blends of the samples of a batch."""

    beta: Above0 = 1.2
    """Both parameters of the Beta distribution of their shares."""

    probability: Probability = 0.5
    """How often a batch is mixed."""


class Stage(Section):
    """A part of the training with smaller patches than datasets.train gives."""

    steps: Positive
    """How long; the last stage lasts until the end."""

    gt_size: Positive
    """Side of the clean patch, a multiple of the scale, at most that of datasets.train."""

    batch: Positive
    """Samples of a step and process, at most batch_size_per_gpu times accumulate, and a multiple of accumulate."""


class OwnTrain(Procedure):
    """What MambaIRModel alone takes."""

    ema_warmup: bool = False
    """Average over few steps at first: decay (1 + step) / (10 + step) until that reaches ema_decay."""

    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """bf16 and fp16 compute in half the bits where that is safe; scans keep 32. fp16 is for cards without bf16, and
    scales the loss so that gradients do not vanish."""

    accumulate: Positive = 1
    """Batches whose gradients are added up for one step."""

    clip_grad_norm: Above0 | None = None
    """Longest gradient; longer ones are shortened."""

    compile: bool = False
    """Compile the network with torch.compile."""

    freeze: list[str] | None = None
    """Parameters of network_g that keep their values, by name or pattern: 'conv_first.*'."""

    mixup: Mixup | None = None
    """Blend samples of a batch, as published training of real denoising does."""

    progressive: Annotated[list[Stage], Field(min_length=1)] | None = None
    """Grow the patches in stages, as published training of real denoising does."""

    nan_guard: NanGuard = Field(default_factory=NanGuard)
    """Patience with gradients that are not finite."""


class Train(OwnTrain):
    """Optimisation."""

    total_iter: Positive
    """Steps of training."""

    optim_g: Optimizer
    """Optimiser of network_g."""

    scheduler: Scheduler | None = None
    """How the learning rate changes; AdamWScheduleFree alone goes without."""

    warmup_iter: Annotated[int, Field(ge=-1), BeforeValidator(whole)] = -1
    """Steps over which the learning rate rises from 0; -1 for none."""

    ema_decay: Share = 0
    """Decay of the moving average of the weights, 0.999 say; 0 for none."""

    pixel_opt: Loss | None = None
    """Loss between pixels."""

    perceptual_opt: Loss | None = None
    """Loss between features of a VGG network."""

    gan_opt: Loss | None = None
    """Adversarial loss, for models with network_d."""

    optim_d: Optimizer | None = None
    """Optimiser of network_d."""

    net_d_iters: Positive = 1
    """Steps of network_d for each one of network_g."""

    net_d_init_iters: Count = 0
    """Steps of network_d before the first one of network_g."""

    keep_last: Positive | None = None
    """Checkpoints to keep; all of them by default."""


class Val(Procedure):
    """Validation during training, and the test."""

    val_freq: Positive | None = None
    """Steps between validations."""

    patience: Positive | None = None
    """Validations without a better first metric of the first set after which training ends; none by default."""

    save_img: bool = False
    """Keep the result images."""

    suffix: str | None = None
    """Added to the names of result images; by default the recipe's name."""

    pbar: bool = False
    """Carried by BasicSR's recipes; no effect, which is said: progress follows the command's flags."""

    metrics: dict[str, Metric] | None = None
    """Figures to compute, under names of your choice."""


class Wandb(Section):
    """Weights & Biases."""

    project: str | None = None
    """Project there; empty for none."""

    resume_id: str | None = None
    """Run there to go on with; by itself a resumed training goes on with its own."""


class Trackio(Section):
    """Trackio."""

    project: str
    """Project there."""


class Logger(Section):
    """What is written during training."""

    print_freq: Positive = 100
    """Steps between lines of the log."""

    save_checkpoint_freq: Positive = 5000
    """Steps between checkpoints."""

    use_tb_logger: bool = False
    """Write curves and validation pictures for TensorBoard."""

    wandb: Wandb | None = None
    """Write for Weights & Biases; needs pip install 'mambair[wandb]'."""

    trackio: Trackio | None = None
    """Write for Trackio; needs pip install 'mambair[trackio]'."""


class DistParams(Section):
    """Carried by BasicSR's recipes for several processes; no effect, and other values than these are told."""

    backend: Literal["nccl", "gloo"] = "nccl"
    """Chosen by the device: nccl for GPUs, gloo for CPUs."""

    port: Positive = 29500
    """Chosen by torchrun or --nproc."""


class Paths(Procedure):
    """Files to start from."""

    pretrain_network_g: str | None = None
    """Weights that network_g starts from, or that are tested: a file, or a model of the catalogue."""

    param_key_g: str | None = "params"
    """Entry of that file: params, or params_ema."""

    strict_load_g: bool = True
    """Whether the file must hold exactly the weights of network_g."""

    pretrain_network_d: str | None = None
    """Weights that network_d starts from."""

    param_key_d: str | None = "params"
    """Entry of that file."""

    strict_load_d: bool = True
    """Whether the file must hold exactly the weights of network_d."""

    resume_state: str | None = None
    """Training state (.state) to go on from."""

    ignore_resume_networks: list[str] | None = None
    """Networks whose weights are not taken from the checkpoint when training goes on."""


class RecipeModel(Procedure):
    """A recipe in BasicSR's layout, for training or for a test."""

    name: str
    """Name of the experiment; results go to a folder of this name."""

    model_type: Model
    """Training procedure."""

    network_g: Network
    """The network."""

    datasets: dict[str, Dataset]
    """train, and any number of val or test: val, val_1, val_set14."""

    plugins: list[str] = Field(default_factory=list)
    """Modules with parts of your own: names, or .py files; see docs/plugins.md."""

    scale: Positive = 1
    """Output size over input size."""

    num_gpu: Count | Literal["auto"] = "auto"
    """GPUs; 0 for the CPU, auto for those that are there."""

    manual_seed: Count = 0
    """Seed of all randomness."""

    path: Paths = Field(default_factory=Paths)
    """Files to start from."""

    train: Train | None = None
    """Optimisation; a recipe without it is for tests."""

    val: Val | None = None
    """Validation."""

    logger: Logger = Field(default_factory=Logger)
    """What is written during training."""

    dist_params: DistParams | None = None
    """Several processes."""

    network_d: Network | None = None
    """Discriminator, for models that have one."""

    find_unused_parameters: bool = False
    """For several processes: allow parameters without gradient."""


def adapter() -> TypeAdapter[RecipeModel]:
    """Reads a recipe with all parts that are known now, those of plugins included."""
    return _adapter(components.count())


@cache
def _adapter(count: int) -> TypeAdapter[RecipeModel]:
    for section in (Train, Val, RecipeModel):
        section.model_rebuild(force=True)
    return TypeAdapter(RecipeModel)


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a recipe, for editors and other tools."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **adapter().json_schema(),
        "title": "mambair recipe",
    }
