"""The process group that sharding engines need, even where one process was started alone."""

import os
import time

import torch
from torch import distributed

REST_SECONDS = 0.3


def form_group_of_one(device: torch.device) -> None:
    """Be a group of one process, unless there is a group; opens no port."""
    if distributed.is_initialized():
        return
    os.environ.setdefault("LOCAL_RANK", "0")  # DeepSpeed asks for it
    backend = "nccl" if device.type == "cuda" else "gloo"
    store = distributed.HashStore()  # pyright: ignore[reportPrivateImportUsage]
    distributed.init_process_group(backend, store=store, rank=0, world_size=1)


def let_group_rest() -> None:
    """Give the threads of the group the time to forget the last barrier.

    They need Python's lock for it. Whoever destroys the group holds that lock and waits for them,
    so a group that is destroyed at once blocks for ever now and then (gloo, torch 2.13).
    """
    if distributed.is_initialized():
        time.sleep(REST_SECONDS)


def leave_group() -> None:
    """Leave the group in order: without this, processes abort now and then when they end."""
    if distributed.is_initialized():
        distributed.destroy_process_group()
