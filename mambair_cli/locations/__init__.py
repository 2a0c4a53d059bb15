"""Where files are: paths of this machine, and URLs of object stores and servers, which fsspec reaches."""
