"""The datasets of a recipe."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from . import signatures
from .components import Count, OneOf, Positive, Section, model


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Folders = Annotated[
    list[str],
    BeforeValidator(_listed),
    Field(min_length=1),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]
Probability = Annotated[float, Field(ge=0, le=1)]


def _range(value: Any) -> Any:
    """One number stands for a range of that number alone."""
    return [value, value] if isinstance(value, int | float) and not isinstance(value, bool) else value


def _span(low: float, high: float) -> Any:
    number = {"type": "number", "minimum": low, "maximum": high}
    pair = {"type": "array", "items": number, "minItems": 2, "maxItems": 2}
    item = Annotated[float, Field(ge=low, le=high)]
    return Annotated[
        list[item],
        BeforeValidator(_range),
        Field(min_length=2, max_length=2),
        WithJsonSchema({"anyOf": [number, pair]}),
    ]


def _some_of(*names: str) -> Any:
    """One of the names, or a list of them."""
    name: dict[str, Any] = {"enum": list(names)}
    return Annotated[
        list[Literal[names]],  # type: ignore[valid-type]  # built from values
        BeforeValidator(_listed),
        Field(min_length=1),
        WithJsonSchema({"anyOf": [name, {"type": "array", "items": name, "minItems": 1}]}),
    ]


class Backend(Section):
    """Where BasicSR reads images from."""

    type: Literal["disk", "lmdb", "memcached"]
    """disk: folders of image files; lmdb: a database; memcached: a server."""

    server_list_cfg: str | None = None
    """memcached: its list of servers."""

    client_cfg: str | None = None
    """memcached: its client."""

    sys_path: str | None = None
    """memcached: folder of its module."""


class Loaded(Section):
    """What every dataset may state; the loader reads it."""

    name: str
    """For messages, and the folder of its result images."""

    phase: Literal["train", "val", "test"] | None = None
    """Set from the dataset's place in the recipe."""

    scale: Positive | None = None
    """Set from the recipe's scale."""

    batch_size_per_gpu: Positive = 1
    """Samples per step and process."""

    num_worker_per_gpu: Count = 0
    """Processes that load data, for each training process."""

    use_shuffle: bool = True
    """Carried by published recipes; training always shuffles."""

    dataset_enlarge_ratio: Positive = 1
    """How often an epoch goes through the images."""

    prefetch_mode: Literal["cpu", "cuda"] | None = None
    """Load batches ahead: in a thread, or on the GPU."""

    num_prefetch_queue: Positive = 1
    """Batches that ``prefetch_mode: cpu`` loads ahead."""

    pin_memory: bool = False
    """Load into page-locked memory; quicker on its way to a GPU."""

    persistent_workers: bool = False
    """Keep the loading processes from epoch to epoch."""


class Augmented(Section):
    """Patches and symmetries of training."""

    gt_size: Positive | None = None
    """Side in pixels of the clean patch; a multiple of the scale. Needed in training."""

    use_hflip: bool = True
    """Mirror half of the samples."""

    use_rot: bool = True
    """Turn samples by quarters; with use_hflip all eight symmetries."""


class PairedImageDataset(Loaded, Augmented):
    """Degraded images beside clean ones, paired by name."""

    type: Literal["PairedImageDataset"]

    dataroot_gt: Folders
    """Folder (or folders) of clean images, relative to the data root."""

    dataroot_lq: Folders
    """Folder of degraded images, in the order of dataroot_gt."""

    io_backend: Backend = Backend(type="disk")
    """Where the images are read from."""

    filename_tmpl: str = "{}"
    """Name of a degraded image, from its clean image's without extension: '{}x2'."""

    meta_info_file: str | None = None
    """A text file with a name per line; without it the folder is listed."""

    color: Literal["y"] | None = None
    """y: luminance only."""

    mean: list[float] | None = None
    """Subtracted per channel."""

    std: list[float] | None = None
    """Divided by per channel."""


class SingleImageDataset(Loaded):
    """Images without clean ones, for results without figures."""

    type: Literal["SingleImageDataset"]

    dataroot_lq: Folders
    """Folder of images, relative to the data root."""

    io_backend: Backend = Backend(type="disk")
    """Where the images are read from."""

    meta_info_file: str | None = None
    """A text file with a name per line; without it the folder is listed."""

    color: Literal["y"] | None = None
    """y: luminance only."""

    mean: list[float] | None = None
    """Subtracted per channel."""

    std: list[float] | None = None
    """Divided by per channel."""


class NoDegradation(Section):
    """The photo as it is."""

    type: Literal["none"]


class Bicubic(Section):
    """Reduced by the recipe's scale as MATLAB does."""

    type: Literal["bicubic"]


class Noise(Section):
    """Gaussian noise."""

    type: Literal["noise"]

    sigma: _span(0, 255)  # type: ignore[valid-type]
    """Standard deviation in levels of 8 bits: a number, or [low, high]."""

    gray_probability: Probability = 0.0
    """How often all channels get the same noise."""

    shot: _span(0, 1) = 0  # type: ignore[valid-type]
    """Share of the variance that grows with brightness."""

    clip_probability: Probability = 0.0
    """How often the result is clipped and rounded, as in a file."""


class Jpeg(Section):
    """JPEG compression."""

    type: Literal["jpeg"]

    quality: _span(1, 100)  # type: ignore[valid-type]
    """1 to 100: a number, or [low, high]."""

    subsampling: _some_of("4:4:4", "4:2:0") = "4:4:4"  # type: ignore[valid-type]
    """Ways of storing colours, drawn from evenly."""

    shifted: bool = True
    """Whether blocks start anywhere in the patch, as in a patch of a compressed photo."""


class Haze(Section):
    """Haze by atmospheric scattering."""

    type: Literal["haze"]

    beta: _span(0, 20) = (0.4, 2.5)  # type: ignore[valid-type]
    """Scattering over the whole depth: 0.5 is thin, 3 thick."""

    airlight: _span(0, 1) = (0.6, 1.0)  # type: ignore[valid-type]
    """Brightness of the haze."""

    tint: Probability = 0.05
    """How far a colour of the airlight may be from its brightness."""

    depth: _some_of("smooth", "ramp", "layers") = ("smooth", "ramp", "layers")  # type: ignore[valid-type]
    """Kinds of depth field, drawn from evenly."""


Degradation = Annotated[Any, OneOf((NoDegradation, Bicubic, Noise, Jpeg, Haze))]


class Photos(Loaded):
    """What our two datasets share."""

    dataroot_gt: Folders
    """Folder (or folders) of photos, relative to the data root; folders within are searched."""

    degradation: Degradation = Field({"type": "bicubic"})
    """How the low-quality image is made."""

    gray: bool = False
    """Luma only, for networks with one channel."""


class PhotoPatchDataset(Photos, Augmented):
    """Patches of photos, degraded on the fly."""

    type: Literal["PhotoPatchDataset"]

    detail: Probability = 0.0
    """How often the patch with most detail of a few is taken."""

    in_memory: bool = False
    """Decode all photos at the start."""

    cache_mib: Count = 1024
    """How much of the decoded photos to keep otherwise, for each worker."""

    patches_per_photo: Positive = 1
    """Length of the dataset over the number of photos."""


class PhotoFolderDataset(Photos):
    """Whole photos, degraded the same way every time, or read beside degraded files."""

    type: Literal["PhotoFolderDataset"]

    dataroot_lq: str | None = None
    """Folder of degraded images; without it, degradation makes them."""

    filename_tmpl: str = "{}"
    """Name of a degraded image, from its photo's without extension: '{}x2'."""


OWN = (PairedImageDataset, SingleImageDataset, PhotoPatchDataset, PhotoFolderDataset)


def _basicsr() -> list[type[Section]]:
    """The other datasets of BasicSR, with the options that their modules mention."""
    own = {kind.__name__ for kind in OWN}
    return [
        model(name, {key: (Any, None) for key in found.keys if key not in Loaded.model_fields}, found.doc, Loaded)
        for name, found in signatures.registered("data").items()
        if name not in own
    ]


Dataset = Annotated[Any, OneOf((*OWN, *_basicsr()))]
