"""Decode many images into one file of pixels, in several processes.

Only the training package uses this module. The module is in the runtime package, because each process imports the
module, and an import of torch would take seconds and hundreds of megabytes.

Each process runs `python -m vaedge.files.decoding`. It reads lines from stdin. Each line is a JSON object with the
fields of a `Job`. For each job, the process writes one line to stdout: a JSON list of failures, or a JSON object that
describes an OSError.
"""

import json
import os
import queue
import subprocess
import sys
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

import numpy as np

from vaedge.errors import InferenceError, InputError
from vaedge.files.images import GRAY_MODES, TransparentImageError, open_image, resize_image

_IMAGES_PER_JOB = 64
_MIN_JOBS = 4  # fewer jobs run in this process, because starting others takes a fraction of a second

BROKEN, TRANSPARENT, COLOR, SIZE = "broken", "transparent", "color", "size"


@dataclass(frozen=True)
class Failure:
    """An image that was not decoded. The file of pixels holds zeros for this image.

    Attributes:
        index: Index of the image among all images.
        kind: "broken", "transparent" (no background was given), "color" (gray was expected), or "size" (another size
            was expected).
        message: Description for the user.
    """

    index: int
    kind: str
    message: str


@dataclass(frozen=True)
class Job:
    """Images that one process decodes.

    Attributes:
        paths: Paths of the images of this job.
        first: Index of the first image of this job among all images.
        file: Existing file that receives the pixels of all images.
        offset: Position in the file at which the pixels of all images begin, in bytes.
        shape: (channels, height, width) of each image.
        resize: Whether to resize the images. If False, the images must have the size in `shape`.
        background: Color on which transparent images are composited; None refuses them.
    """

    paths: list[str]
    first: int
    file: str
    offset: int
    shape: tuple[int, int, int]
    resize: bool
    background: tuple[int, int, int] | None

    def run(self) -> list[Failure]:
        """Decode the images, and write their pixels.

        Raises:
            OSError: The disk is full.
        """
        channels, height, width = self.shape
        pixels = np.zeros((len(self.paths), *self.shape), np.uint8)
        failures = []
        for position, path in enumerate(self.paths):
            index = self.first + position
            try:
                image = open_image(Path(path), self.background)
            except TransparentImageError as error:
                failures.append(Failure(index, TRANSPARENT, str(error)))
                continue
            except InputError as error:
                failures.append(Failure(index, BROKEN, str(error)))
                continue
            if channels == 1 and image.mode not in GRAY_MODES:
                failures.append(Failure(index, COLOR, f"{path} is not gray"))
                continue
            image = image.convert("L" if channels == 1 else "RGB")
            if self.resize:
                image = resize_image(image, height, width)
            if image.size != (width, height):
                found = f"{image.width} x {image.height} pixels, but the first image has {width} x {height}"
                failures.append(Failure(index, SIZE, f"{path} has {found}"))
                continue
            pixels[position] = np.asarray(image).reshape(height, width, channels).transpose(2, 0, 1)
        with Path(self.file).open("r+b") as file:
            file.seek(self.offset + self.first * pixels[0].nbytes)
            file.write(pixels.data)
        return failures


def decode_images(
    paths: Sequence[Path],
    file: Path,
    offset: int,
    shape: tuple[int, int, int],
    *,
    resize: bool,
    background: tuple[int, int, int] | None,
    processes: int,
) -> Generator[tuple[int, list[Failure]], None, None]:
    """Decode images in several processes.

    Args:
        paths: Paths of the images.
        file: Existing file that receives the pixels, uint8, shape (n, channels, height, width).
        offset: Position in the file at which the pixels begin, in bytes.
        shape: (channels, height, width) of each image.
        resize: Whether to resize the images. If False, the images must have the size in `shape`.
        background: Color on which transparent images are composited; None refuses them.
        processes: Maximum number of processes to start. If there are few images, no process is started.

    Yields:
        One pair for each part of the images, in order: the number of images in the part, and the failures among them.

    Raises:
        OSError: The disk is full.
        InferenceError: A process ended unexpectedly.
    """
    jobs = [
        Job(
            [str(path) for path in paths[first : first + _IMAGES_PER_JOB]],
            first,
            str(file),
            offset,
            shape,
            resize,
            background,
        )
        for first in range(0, len(paths), _IMAGES_PER_JOB)
    ]
    if len(jobs) < _MIN_JOBS:
        yield from ((len(job.paths), job.run()) for job in jobs)
        return
    with ExitStack() as stack:
        count = min(len(jobs), processes)
        idle: queue.SimpleQueue[_Process] = queue.SimpleQueue()
        for _ in range(count):
            idle.put(stack.enter_context(_Process()))
        threads = ThreadPoolExecutor(count, "images")
        stack.callback(threads.shutdown, cancel_futures=True)

        def run(job: Job) -> tuple[int, list[Failure]]:
            process = idle.get()
            try:
                return len(job.paths), process.run(job)
            finally:
                idle.put(process)

        yield from threads.map(run, jobs)


class _Process:
    """A child process that decodes images.

    When the parent process ends, the stdin of the child ends, and the child exits.
    """

    def __enter__(self) -> "_Process":
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,  # Ctrl-C then interrupts only the parent, which ends this child
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def run(self, job: Job) -> list[Failure]:
        """Run a job in the child process, and return the failures."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # the process has ended, so the answer is missing, too
            print(json.dumps(asdict(job)), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise InferenceError("a process that decodes images ended unexpectedly; is there enough memory?")
        result = json.loads(answer)
        if isinstance(result, dict):
            raise OSError(result["errno"], result["strerror"], job.file)
        return [Failure(*failure) for failure in result]


def _main() -> None:
    """Run the jobs that arrive on stdin, and write the failures of each job to stdout."""
    for line in sys.stdin:
        fields = json.loads(line)
        for name in ("shape", "background"):
            fields[name] = fields[name] and tuple(fields[name])
        try:
            answer: object = [astuple(failure) for failure in Job(**fields).run()]
        except OSError as error:
            answer = {"errno": error.errno, "strerror": error.strerror}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _main()
