"""A checkpoint that cannot be written costs nothing that was there before."""

import errno
import os
import resource
import shutil
import signal
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from pdefm.train import assemble, checkpoint, loop
from pdefm.train.checkpoint import Retention, committed_checkpoints, find_checkpoint, sweep
from tests.faults.kit import (
    CONTEXT,
    announce,
    die_at,
    hang_at,
    on_rank,
    prepare,
    slow,
    start,
    start_ranks,
    tiny_disk,
)

NUM_SYNCED = 200


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("writing"))


def steps(run: Path) -> list[int]:
    return [step for step, _ in committed_checkpoints(run)]


def save(run: Path, step: int) -> None:
    def write(folder: Path) -> None:
        (folder / "model" / "weights").write_text(f"weights {step}")
        torch.save({"step": step}, folder / "state" / "state.pt")

    checkpoint.save_checkpoint(run, step, write, Retention(2))


def save_and_die(run: Path, operation: int) -> None:
    """Save a third checkpoint, and die before the given operation on the disk."""
    for step in (1, 2):
        save(run, step)
    left = operation

    def counted(call):
        def wrapper(*arguments, **named):
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **named)

        return wrapper

    for name in ("fsync", "rename", "replace", "unlink", "rmdir", "mkdir", "chmod"):
        setattr(os, name, counted(getattr(os, name)))
    for name in ("rename", "unlink", "mkdir", "chmod"):
        setattr(Path, name, counted(getattr(Path, name)))
    save(run, 3)


def test_a_kill_before_any_operation_of_a_commit_leaves_what_was_committed(tmp_path):
    for operation in range(1, NUM_SYNCED):
        run = tmp_path / str(operation)
        process = CONTEXT.Process(target=save_and_die, args=(run, operation))
        process.start()
        process.join(30)
        found, skipped = find_checkpoint(run)
        assert skipped == [], operation
        assert found is not None
        assert found[0] in (2, 3), operation
        assert len(committed_checkpoints(run)) >= 2
        assert (found[1] / "model" / "weights").read_text() == f"weights {found[0]}"
        sweep(run)
        assert {path.name for path in (run / "checkpoints").iterdir()} <= {
            f"step-{step:06d}" for step in (1, 2, 3)
        }
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        shutil.rmtree(run)
    assert 20 < operation < NUM_SYNCED - 1, "every operation was met"


def test_a_full_disk_is_said_and_the_last_checkpoint_is_intact(tmp_path, recipe):
    out = tmp_path / "disk" / "run"
    run = start(recipe, out, tiny_disk(tmp_path / "disk", 180), log=tmp_path / "log")
    status = run.end()
    if "no namespaces" in run.all_marks():
        pytest.skip("needs mount namespaces")
    assert status == 5, run.log.read_text()
    assert "the disk is full: checkpoint step-000008 does not fit in" in run.message
    assert "MiB free" in run.message
    assert "step-000004 is intact. Free some space and start again" in run.message
    copy = tmp_path / "disk-copy" / "run"
    assert steps(copy) == [4]
    assert not list((copy / "checkpoints").glob(".*"))
    assert find_checkpoint(copy)[0] is not None


def limited_files(size: int) -> None:
    """After the first checkpoint no file may grow beyond ``size``."""
    write = loop._Loop._write

    def limited(self, folder, **named):
        if self.step > 4:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        write(self, folder, **named)

    loop._Loop._write = limited


def failing_write(number: int, part: str) -> None:
    """In the second checkpoint, writing fails as a disk does that breaks."""
    write = loop._Loop._write

    def failing(self, folder, **named):
        write(self, folder, **named)
        if self.step > 4:
            raise OSError(number, os.strerror(number), str(folder / part))

    loop._Loop._write = failing


@pytest.mark.parametrize(
    ("hook", "words"),
    [
        (partial(limited_files, 10_000), "cannot write checkpoint step-000008"),
        (partial(failing_write, errno.EIO, "model/x"), "got Input/output error"),
        (partial(failing_write, errno.EACCES, "model/x"), "got Permission denied"),
        (partial(failing_write, errno.EROFS, "model/x"), "got Read-only file system"),
        (partial(failing_write, errno.EDQUOT, "model/x"), "the disk is full"),
        (partial(failing_write, errno.ENOSPC, "model/x"), "the disk is full"),
    ],
)
def test_any_other_failing_write_is_said_and_harms_nothing(tmp_path, recipe, hook, words):
    run = start(recipe, tmp_path / "run", hook)
    assert run.end() == 5, run.log.read_text()
    assert words in run.message
    assert "step-000004 is intact." in run.message
    assert run.log.read_text().count("pdefm: ") == 1
    assert steps(tmp_path / "run") == [4]
    assert not list((tmp_path / "run" / "checkpoints").glob(".*"))


def test_when_one_process_cannot_write_nobody_commits(tmp_path, recipe):
    hook = on_rank(1, partial(failing_write, errno.EIO, "state/rng-00001.pt"))
    ranks = start_ranks(recipe, tmp_path / "run", hook)
    assert [run.end() for run in ranks] == [5, 5], [run.message for run in ranks]
    assert "process 1 failed to save step-000008" in ranks[0].message
    assert "Input/output error (" in ranks[1].message
    assert steps(tmp_path / "run") == [4]


def test_a_folder_that_cannot_be_written_is_refused_before_the_first_step(tmp_path, recipe):
    place = tmp_path / "disk"
    run = start(recipe, place / "run", announce, tiny_disk(place, options="ro"), log=tmp_path / "l")
    status = run.end()
    marks = run.all_marks()
    if "no namespaces" in marks:
        pytest.skip("needs mount namespaces")
    assert status == 5
    assert run.message == (
        f"pdefm: cannot write into {place / 'run'}: got Read-only file system. Choose another --out"
    )
    assert not [word for word in marks if word.startswith("step")]


@pytest.mark.parametrize("back", [False, True])
def test_a_run_folder_that_is_removed_in_mid_run_is_said(tmp_path, recipe, back):
    out = tmp_path / "run"
    run = start(recipe, out, announce, slow(0.2))
    run.wait_for("step 2")
    out.rename(tmp_path / "moved")
    if back:  # another one in its place
        shutil.copytree(tmp_path / "moved", out)
    assert run.end() == 5
    assert f"{out} was removed or replaced while its run was writing to it" in run.message
    assert not committed_checkpoints(out)


def test_two_runs_in_one_folder(tmp_path, recipe):
    out = tmp_path / "run"
    first = start(recipe, out, announce, slow(0.5))
    first.wait_for("step 2")
    begun = time.monotonic()
    second = start(recipe, out, options=["--overwrite"], log=tmp_path / "second")
    assert second.end() == 5
    assert time.monotonic() - begun < 10
    assert f"{out} is in use by another run: got process {first.process.pid} on" in second.message
    assert "choose another --out" in second.message
    first.send(signal.SIGKILL)
    assert first.end() == -signal.SIGKILL
    assert start(recipe, out).end() == 0


def test_weights_that_are_not_finite_are_kept_apart_and_end_the_run(tmp_path, recipe):
    run = start(recipe, tmp_path / "run", poison)
    assert run.end() == 6
    assert "the weights are not finite at step 8: got kept as checkpoints/bad-000008" in run.message
    assert steps(tmp_path / "run") == [4]
    assert (tmp_path / "run/checkpoints/bad-000008/state/weights.pt").is_file()


def poison() -> None:
    save = loop._Loop.save

    def poisoned(self):
        if self.step == 8:
            with torch.no_grad():
                next(self.session.trainee.model.parameters()).view(-1)[0] = float("nan")
        save(self)

    loop._Loop.save = poisoned


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), MemoryError()]
)
def test_no_memory_is_said_with_the_batch_and_what_to_do(tmp_path, recipe, error):
    run = start(recipe, tmp_path / "run", partial(fail_at, 6, error))
    assert run.end() == 5
    assert "out of memory with train.micro_batch_size 2" in run.message
    assert "Halve train.micro_batch_size" in run.message
    assert steps(tmp_path / "run") == [4]


def fail_at(step: int, error: Exception) -> None:
    run = loop._Loop.train_step

    def train_step(self):
        if self.step + 1 == step:
            raise error
        return run(self)

    loop._Loop.train_step = train_step


def test_a_process_that_dies_takes_the_others_with_it(tmp_path, recipe):
    ranks = start_ranks(recipe, tmp_path / "run", on_rank(1, die_at(6)))
    assert ranks[1].end() == -signal.SIGKILL
    begun = time.monotonic()
    assert ranks[0].end(30) == 5, ranks[0].log.read_text()
    assert time.monotonic() - begun < 30
    assert "another process of this run is gone" in ranks[0].message
    assert steps(tmp_path / "run") == [4]


def test_a_process_that_dies_before_the_first_step_takes_the_others_with_it(tmp_path, recipe):
    ranks = start_ranks(recipe, tmp_path / "run", on_rank(1, die_entering))
    assert ranks[1].end() == -signal.SIGKILL
    assert ranks[0].end(30) == 5, ranks[0].log.read_text()
    assert "another process of this run is gone" in ranks[0].message


def die_entering():
    def die(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    assemble.make_mixture = die


def test_a_process_that_hangs_is_given_up_after_the_timeout(tmp_path):
    recipe = prepare(tmp_path, ddp_timeout=4)
    ranks = start_ranks(recipe, tmp_path / "run", announce, on_rank(1, hang_at(6)))
    ranks[0].wait_for("step 6")
    begun = time.monotonic()
    assert ranks[0].end(30) == 5, ranks[0].log.read_text()
    assert time.monotonic() - begun < 15
    assert "another process of this run is gone" in ranks[0].message
    assert steps(tmp_path / "run") == [4]
    ranks[1].send(signal.SIGKILL)
    assert ranks[1].end() == -signal.SIGKILL


def test_processes_that_do_not_share_a_disk_are_refused(tmp_path, recipe):
    out = tmp_path / "run"
    assert start(recipe, out, die_at(6)).end() == -signal.SIGKILL
    ranks = start_ranks(recipe, out, on_rank(1, tiny_disk(out / "checkpoints", 100)))
    statuses = [run.end() for run in ranks]
    if "no namespaces" in ranks[1].all_marks():
        pytest.skip("needs mount namespaces")
    assert statuses == [5, 5], [run.message for run in ranks]
    assert "process 1 does not see" in ranks[1].message
    assert "as the main process does. Put --out on a disk that all machines share" in (
        ranks[0].message
    )
