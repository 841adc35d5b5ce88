"""What TensorBoard finds in a folder of event files: runs, tags, and how many points each tag has.

    python3 -m venv venv && venv/bin/pip install tensorboard==2.21.0
    venv/bin/python check_events.py LOGDIR [--server]

Reads with TensorBoard's own reader. With --server it also starts TensorBoard, once with each of its
two loaders, and asks it over HTTP what a browser would ask. Exit status 1 if there are no events,
or if the server differs.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

EVERYTHING = {"scalars": 0, "images": 0, "histograms": 0, "tensors": 0}
READY_WITHIN_SECONDS = 60


def runs_of(logdir):
    """Run name -> plugin -> tag -> [(step, value)]; values of images, histograms and texts are None."""
    runs = {}
    for folder in sorted({path.parent for path in Path(logdir).rglob("*tfevents*")}):
        events = EventAccumulator(str(folder), EVERYTHING)
        events.Reload()
        tags = events.Tags()
        runs[str(folder.relative_to(logdir))] = {
            "scalars": {tag: [(p.step, p.value) for p in events.Scalars(tag)] for tag in tags["scalars"]},
            "images": {tag: [(p.step, None) for p in events.Images(tag)] for tag in tags["images"]},
            "histograms": {tag: [(p.step, None) for p in events.Histograms(tag)] for tag in tags["histograms"]},
            "text": {tag: [(p.step, None) for p in events.Tensors(tag)] for tag in tags["tensors"]},
        }
    return runs


class Server:
    """TensorBoard on a free port, for the time of a `with`."""

    def __init__(self, logdir, fast):
        self.command = [sys.executable, "-m", "tensorboard.main", "--logdir", logdir, "--port", "0"]
        self.command += ["--load_fast", "true" if fast else "false", "--samples_per_plugin", "scalars=100000"]

    def __enter__(self):
        # The address is said on standard error, e.g. "… at http://localhost:6006/ (Press CTRL+C to
        # quit)".
        self.process = subprocess.Popen(self.command, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if "http://" in line:
                self.address = "http://" + line.split("http://")[1].split()[0].rstrip("/")
                return self
        raise SystemExit("TensorBoard did not start")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def get(self, path, **query):
        url = f"{self.address}/data/plugin/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)

    def tags(self, plugin):
        """Run -> tags. The text plugin answers with lists, the others with a description of each tag."""
        return {run: sorted(tags) for run, tags in self.get(f"{plugin}/tags").items() if tags}


def check_server(logdir, runs, fast):
    """What the server says differently, as lines."""
    differences = []
    with Server(logdir, fast) as server:
        expected = {plugin: {run: sorted(tags[plugin]) for run, tags in runs.items() if tags[plugin]}
                    for plugin in ("scalars", "images", "histograms", "text")}
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        while server.tags("scalars") != expected["scalars"] and time.monotonic() < deadline:
            time.sleep(0.5)
        for plugin, tags in expected.items():
            found = server.tags(plugin)
            if found != tags:
                differences.append(f"{plugin}/tags: {found}, not {tags}")
        for run, plugins in runs.items():
            for tag, points in plugins["scalars"].items():
                # JSON has no NaN; TensorBoard sends the word.
                answer = [(step, float(value)) for _, step, value in server.get("scalars/scalars", run=run, tag=tag)]
                if repr(answer) != repr(points):
                    differences.append(f"{run}: {tag}: {len(answer)} points, not the {len(points)} of the files")
            for tag, points in plugins["histograms"].items():
                answer = [step for _, step, _ in server.get("histograms/histograms", run=run, tag=tag)]
                if answer != [step for step, _ in points]:
                    differences.append(f"{run}: {tag}: histograms of the steps {answer}")
            for tag, points in plugins["images"].items():
                answer = server.get("images/images", run=run, tag=tag, sample=0)
                if not answer:
                    differences.append(f"{run}: {tag}: no image")
    return differences


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("logdir")
    arguments.add_argument("--server", action="store_true")
    arguments = arguments.parse_args()
    logdir = os.path.abspath(arguments.logdir)

    runs = runs_of(logdir)
    total = 0
    for run, plugins in runs.items():
        for plugin, tags in plugins.items():
            for tag, points in sorted(tags.items()):
                total += len(points)
                print(f"{run}\t{plugin}\t{tag}\t{len(points)} points, steps {points[0][0]} to {points[-1][0]}")
    if total == 0:
        raise SystemExit(f"no events in {logdir}")
    for fast in (True, False) if arguments.server else ():
        differences = check_server(logdir, runs, fast)
        loader = "fast" if fast else "Python"
        print(f"the server with the {loader} loader: {'; '.join(differences) or 'the same'}")
        if differences:
            raise SystemExit(1)


main()
