"""The data sets of a recipe: BasicSR's are declared here, ours where they are."""

from typing import Annotated, Any, Literal

from ...data.datasets import DATASETS, Augmented, Loaded
from ...declaration import Folders, OneOf, Section, Template, model
from ..basicsr import signatures


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

    color: Literal["y", "gray"] | None = None
    """y: luma from 16 to 235; gray: from black to white, which is what networks of one channel get by default."""

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


PAIRED = (PairedImageDataset, SingleImageDataset)


class Other(Loaded, Augmented):
    """What the other data sets of BasicSR share."""


def _own() -> list[type[Section]]:
    return [model(name, {}, kind.Options.__doc__ or "", kind.Options) for name, kind in DATASETS.items()]


def _basicsr() -> list[type[Section]]:
    """The other data sets of BasicSR, with the options that their modules mention."""
    known = {*DATASETS, *(kind.__name__ for kind in PAIRED)}
    return [
        model(name, dict.fromkeys(sorted(found.keys - Other.model_fields.keys()), (Any, None)), found.doc, Other)
        for name, found in signatures.registered("data").items()
        if name not in known
    ]


def datasets() -> tuple[type[Section], ...]:
    """BasicSR's and ours."""
    return (*PAIRED, *_own(), *_basicsr())


Dataset = Annotated[Any, OneOf(datasets)]
