"""The datasets of a recipe."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from ..basicsr import signatures
from .components import Count, OneOf, Positive, Section, model
from .degradations import Degradation, Probability, listed, span

Folders = Annotated[
    list[str],
    BeforeValidator(listed),
    Field(min_length=1),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]
Template = Annotated[str, Field(pattern=r"\{\}")]


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

    filename_tmpl: Template = "{}"
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

    gray_probability: Probability = 0.0
    """How often a patch loses its colours but keeps its channels."""

    shrink: span(1, 16) = (1, 1)  # type: ignore[valid-type]
    """How much larger patches are cut before they are averaged down: a number, or [low, high]."""

    gamma: span(0.1, 10) = (1, 1)  # type: ignore[valid-type]
    """Exponents of the brightness of patches, above 1 darker: a number, or [low, high]."""

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

    filename_tmpl: Template = "{}"
    """Name of a degraded image, from its photo's without extension: '{}x2'."""


OWN = (PairedImageDataset, SingleImageDataset, PhotoPatchDataset, PhotoFolderDataset)


class Other(Loaded, Augmented):
    """What the other datasets of BasicSR share."""


def _basicsr() -> list[type[Section]]:
    """The other datasets of BasicSR, with the options that their modules mention."""
    own = {kind.__name__ for kind in OWN}
    return [
        model(name, dict.fromkeys(found.keys - Other.model_fields.keys(), (Any, None)), found.doc, Other)
        for name, found in signatures.registered("data").items()
        if name not in own
    ]


Dataset = Annotated[Any, OneOf((*OWN, *_basicsr()))]
